// Package patroni asks Patroni's REST API for what only it may do: hand the leadership over, restart
// PostgreSQL. What members say of themselves is read from their pods' annotations, so nothing is asked for that.
package patroni

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// port is the port of the REST API.
const port = "8008"

// Client speaks to the members of databases.
type Client struct {
	// HTTP is the client to use; nil is one with the default transport.
	HTTP *http.Client
	// Port is another port than Patroni's 8008; tests have theirs.
	Port string
}

// Member is a member's REST API and the way in.
type Member struct{ Host, User, Password string }

// timeouts: a switchover waits for the shutdown checkpoint, a restart for PostgreSQL to end and to come up.
const (
	switchoverTimeout = 40 * time.Second
	restartTimeout    = 90 * time.Second
)

// Switchover has the leader hand over to the candidate. It returns when the candidate is the leader; any other
// answer than that is an error in Patroni's words, for example 412 when the candidate is not in step.
//
// Where nobody leads, leader is "", and the candidate becomes the leader whatever it lacks.
func (c *Client) Switchover(ctx context.Context, m Member, leader, candidate string) error {
	if leader == "" {
		return c.post(ctx, m, "/failover", switchoverTimeout, map[string]any{"candidate": candidate})
	}
	return c.post(ctx, m, "/switchover", switchoverTimeout, map[string]any{"leader": leader, "candidate": candidate})
}

// Restart restarts PostgreSQL in the member.
func (c *Client) Restart(ctx context.Context, m Member) error {
	return c.post(ctx, m, "/restart", restartTimeout, map[string]any{"timeout": "60s"})
}

// Alive says whether the member's Patroni answers, whatever it says. It is asked twice, a second each.
func (c *Client) Alive(ctx context.Context, host string) bool {
	for range 2 {
		if c.answers(ctx, host) {
			return true
		}
	}
	return false
}

func (c *Client) answers(ctx context.Context, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(host, "/liveness"), nil)
	if err != nil {
		return false
	}
	response, err := c.http().Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

func (c *Client) url(host, path string) string {
	at := c.Port
	if at == "" {
		at = port
	}
	return "http://" + net.JoinHostPort(host, at) + path
}

func (c *Client) http() *http.Client {
	if c.HTTP == nil {
		return http.DefaultClient
	}
	return c.HTTP
}

func (c *Client) post(ctx context.Context, m Member, path string, timeout time.Duration, body any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(m.Host, path), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(m.User, m.Password)
	response, err := c.http().Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("patroni answered %s with %d: %s", path, response.StatusCode, strings.TrimSpace(string(said)))
	}
	return nil
}
