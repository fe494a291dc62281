package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"nexd/mesh"
)

// Client talks to the agent behind a control socket. An agent that does not run
// is an error of kind Unavailable.
type Client struct {
	path string
	http http.Client
}

// NewClient prepares a client for the socket at path; nothing is sent yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks how the agent fares.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Ping sends one echo through the mesh.
func (c *Client) Ping(ctx context.Context, req PingRequest) (r PingReply, err error) {
	return r, c.call(ctx, http.MethodPost, "/v1/ping", req, &r)
}

// Forwards lists the rules.
func (c *Client) Forwards(ctx context.Context) (fs []Forward, err error) {
	return fs, c.call(ctx, http.MethodGet, "/v1/forwards", nil, &fs)
}

// AddForward adds a rule, "-L …" or "-R …".
func (c *Client) AddForward(ctx context.Context, spec string) (f Forward, err error) {
	return f, c.call(ctx, http.MethodPost, "/v1/forwards", forwardRequest{spec}, &f)
}

// RemoveForward removes a rule as AddForward or the command line took it.
func (c *Client) RemoveForward(ctx context.Context, spec string) error {
	return c.call(ctx, http.MethodDelete, "/v1/forwards", forwardRequest{spec}, nil)
}

// Down ends the agent.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/down", struct{}{}, nil)
}

func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("localapi: request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://nexd"+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("localapi: request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return mesh.Errorf(mesh.Unavailable, "localapi: nexd did not answer on %s: %w", c.path, ctx.Err())
		}
		var sys *os.SyscallError
		if errors.As(err, &sys) { // without the URL, which nobody typed
			err = sys.Err
		}
		return mesh.Errorf(mesh.Unavailable, "localapi: nexd is not running, or its control socket is not %s: %w", c.path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e wireError
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&e); err != nil {
			return fmt.Errorf("localapi: %s %s: status %s", method, path, resp.Status)
		}
		return mesh.Errorf(mesh.ParseKind(e.Kind), "%s", e.Message)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("localapi: %s %s: answer: %w", method, path, err)
	}
	return nil
}
