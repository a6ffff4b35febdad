package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Session is a user of the sample app who has logged in.
type Session struct {
	Base   string
	User   string
	Cookie *http.Cookie
	client *http.Client
}

// Login logs a user in at the sample app at base, for example http://10.96.0.7.
func Login(ctx context.Context, client *http.Client, base, user string) (*Session, error) {
	s := &Session{Base: base, User: user, client: client}
	request, err := s.Request(http.MethodPost, "/login", map[string]string{"user": user})
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, err
	}
	for _, cookie := range answer.Cookies() {
		if cookie.Name == "session" && cookie.Value != "" {
			s.Cookie = cookie
		}
	}
	if s.Cookie == nil {
		return nil, fmt.Errorf("POST /login: status %d without a session: %.200s", answer.StatusCode, body)
	}
	return s, nil
}

// Request is a request of the user's, with a body in JSON unless it is nil.
func (s *Session) Request(method, path string, body any) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequest(method, s.Base+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if s.Cookie != nil {
		request.AddCookie(s.Cookie)
	}
	if method != http.MethodGet {
		// The cart is set, not added to, and an order carries its key: both can be repeated, and a
		// client that knows it sends again when a kept connection turns out to be closed.
		request.Header.Set("Idempotency-Key", rand.Text())
	}
	return request, nil
}

// Do sends a request of the user's; the answer must have the status wanted. What it holds is returned.
func (s *Session) Do(ctx context.Context, method, path string, body any, wanted int) (http.Header, []byte, error) {
	request, err := s.Request(method, path, body)
	if err != nil {
		return nil, nil, err
	}
	answer, err := s.client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != wanted {
		return nil, nil, fmt.Errorf("%s %s: status %d, want %d: %.300s", method, path, answer.StatusCode, wanted, raw)
	}
	return answer.Header, raw, nil
}

// Shop is a mix of requests to the sample app: mostly reads, as in a shop, and some of everything that
// it uses, so that no part of a stack can fail unseen.
func Shop(sessions []*Session) []Step {
	of := func(method, path string, body any) func(int) (*http.Request, error) {
		return func(n int) (*http.Request, error) { return sessions[n%len(sessions)].Request(method, path, body) }
	}
	// Kept connections stay with their pod; only new ones meet the Service's newest list of pods.
	anew := func(int) (*http.Request, error) {
		request, err := http.NewRequest(http.MethodGet, sessions[0].Base+"/version", nil)
		if err == nil {
			request.Close = true
		}
		return request, err
	}
	return []Step{
		{Name: "GET /version", Weight: 2, Make: anew},
		{Name: "GET /catalogue", Weight: 4, Make: of(http.MethodGet, "/catalogue", nil)},
		{Name: "GET /cart", Weight: 2, Make: of(http.MethodGet, "/cart", nil)},
		{Name: "POST /cart", Weight: 1, Make: of(http.MethodPost, "/cart", map[string]any{"item": "saw", "quantity": 2})},
		{Name: "POST /orders", Weight: 1, Make: of(http.MethodPost, "/orders", map[string]any{"items": map[string]int{"saw": 1}})},
		{Name: "GET /orders", Weight: 2, Make: of(http.MethodGet, "/orders?limit=5", nil)},
	}
}
