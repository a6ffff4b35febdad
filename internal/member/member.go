// Package member asks the agent beside a PostgreSQL server what only the server's own programs know
// (images/postgres/member-agent).
package member

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

	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// timeout covers a start of PostgreSQL's program on a busy node; as a rule it takes a tenth of a second. It is
// short because a pass waits for it, which may have something more urgent to do.
const timeout = 3 * time.Second

// Client speaks to agents.
type Client struct {
	// HTTP is the client to use; nil is one with the default transport.
	HTTP *http.Client
}

// Login is the way in: that of Patroni's REST API.
type Login struct{ User, Password string }

// Check has PostgreSQL say whether it would start with these settings. Nothing is changed by it.
func (c *Client) Check(ctx context.Context, address string, login Login, parameters map[string]string) (state.Judgement, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := json.Marshal(parameters)
	if err != nil {
		return state.Judgement{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/parameters", bytes.NewReader(raw))
	if err != nil {
		return state.Judgement{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(login.User, login.Password)
	response, err := c.http().Do(request)
	if err != nil {
		return state.Judgement{}, err
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return state.Judgement{}, err
	}
	if response.StatusCode != http.StatusOK {
		return state.Judgement{}, fmt.Errorf("the agent at %s answered with %d: %s", address, response.StatusCode, lastLine(said))
	}
	var judgement struct {
		Refused           []string `json:"refused"`
		SharedMemoryBytes int64    `json:"sharedMemoryBytes"`
	}
	if err := json.Unmarshal(said, &judgement); err != nil {
		return state.Judgement{}, fmt.Errorf("the agent at %s: %w", address, err)
	}
	return state.Judgement{Refused: judgement.Refused, SharedMemory: judgement.SharedMemoryBytes}, nil
}

func (c *Client) http() *http.Client {
	if c.HTTP == nil {
		return http.DefaultClient
	}
	return c.HTTP
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Address is where the agent of a pod is reached.
func Address(ip string, port int32) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }
