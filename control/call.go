package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nexd/mesh"
)

// request is one HTTP request of the protocol.
type request struct {
	method, path, query string
	body                []byte // JSON; nil = none
	token               string
	nonce               Nonce
	proof               *Proof
	stream              bool
}

// call makes a call that needs a session, and opens one if there is none or if it has ended.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	body, err := encode(in)
	if err != nil {
		return err
	}
	return c.inSession(ctx, func(token string) error {
		_, err := c.send(ctx, request{method: method, path: path, body: body, token: token}, out)
		return err
	})
}

// inSession runs fn with a session's token. If the service reports that the session has
// ended, it runs fn again with a new session.
func (c *Client) inSession(ctx context.Context, fn func(token string) error) error {
	token := c.currentToken()
	if token != "" {
		err := fn(token)
		if ReasonOf(err) != ReasonSession {
			return err
		}
	}
	token, err := c.openSession(ctx)
	if err != nil {
		return err
	}
	return fn(token)
}

func (c *Client) openSession(ctx context.Context) (string, error) {
	var out SessionAnswer
	err := c.proven(ctx, PathSession, func(pin Pin) any {
		return SessionRequest{PublicKey: c.cfg.Key.Public(), ServerPin: pin}
	}, &out)
	if err != nil {
		return "", err
	}
	if out.Session.Token == "" {
		return "", c.errorf(mesh.Invalid, "the answer holds no session")
	}
	c.setToken(out.Session.Token)
	return out.Session.Token, nil
}

// proven makes a call with a proof of the node's key, and repeats it once if the challenge
// has expired meanwhile.
func (c *Client) proven(ctx context.Context, path string, in func(Pin) any, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	err := c.proveOnce(ctx, path, in, out)
	if ReasonOf(err) == ReasonChallenge {
		err = c.proveOnce(ctx, path, in, out)
	}
	return err
}

func (c *Client) proveOnce(ctx context.Context, path string, in func(Pin) any, out any) error {
	ask, err := encode(ChallengeRequest{PublicKey: c.cfg.Key.Public()})
	if err != nil {
		return err
	}
	var ch Challenge
	pin, err := c.send(ctx, request{method: http.MethodPost, path: PathChallenge, body: ask}, &ch)
	if err != nil {
		return err
	}
	body, err := encode(in(pin))
	if err != nil {
		return err
	}
	proof, err := Prove(c.cfg.Key, ch.ServiceKey, ch.Nonce, path, body)
	if err != nil {
		return c.errorf(mesh.Invalid, "its challenge cannot be answered: %w", err)
	}
	_, err = c.send(ctx, request{method: http.MethodPost, path: path, body: body, nonce: ch.Nonce, proof: &proof}, out)
	return err
}

// send makes one request and reads its answer into out. It returns the pin of the TLS
// connection, which is zero over plain HTTP.
func (c *Client) send(ctx context.Context, r request, out any) (Pin, error) {
	resp, err := c.open(ctx, r)
	if err != nil {
		return Pin{}, err
	}
	defer resp.Body.Close()
	defer io.CopyN(io.Discard, resp.Body, 4<<10) // so the connection can be reused
	var pin Pin
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		pin = PinOf(resp.TLS.PeerCertificates[0])
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return pin, nil
	}
	body, err := readBounded(resp.Body, MaxAnswer)
	if err != nil {
		return Pin{}, c.errorf(mesh.KindOf(err), "%s: %w", r.path, err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return Pin{}, c.errorf(mesh.Invalid, "%s: the answer is not what a nexservice says: %w", r.path, err)
	}
	return pin, nil
}

// open makes one request and returns a successful answer of the expected type. The caller
// closes its body.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.cfg.URL.Base()+r.path+r.query, bytes.NewReader(r.body))
	if err != nil {
		return nil, c.errorf(mesh.Invalid, "%s: %w", r.path, err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", TypeJSON)
	}
	req.Header.Set("Accept", TypeJSON+", "+TypeProblem+", "+TypeStream)
	req.Header.Set("User-Agent", c.agent)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.proof != nil {
		req.Header.Set(HeaderChallenge, r.nonce.String())
		req.Header.Set(HeaderProof, r.proof.String())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	want := TypeJSON
	if r.stream {
		want = TypeStream
	}
	if err := c.checkAnswer(resp, want); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// checkAnswer returns an error for every answer that is not a success of this protocol.
func (c *Client) checkAnswer(resp *http.Response, want string) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusOK && kind == want {
		return nil
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return c.barred(mesh.Invalid, BarrierCaptive, "redirects to %q: a login page of this network, or the URL is not the service's own", clip(oneLine(resp.Header.Get("Location"))))
	}
	body, err := readBounded(resp.Body, MaxAnswer)
	if err != nil {
		return c.errorf(mesh.KindOf(err), "%w", err)
	}
	if p, ok := ParseProblem(body); ok && kind == TypeProblem {
		e := p.Err("control: " + c.cfg.URL.Base())
		e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
		return e
	}
	return c.stranger(resp, kind, body)
}

// stranger returns the error for an answer that does not come from a nexservice.
func (c *Client) stranger(resp *http.Response, kind string, body []byte) error {
	if kind == "" {
		kind = "no content type"
	}
	switch code := resp.StatusCode; {
	case code == http.StatusBadRequest && bytes.Contains(body, []byte("HTTPS")):
		return c.errorf(mesh.Invalid, "speaks TLS, not plain HTTP; write https://%s", c.cfg.URL.Host)
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		e := Errorf(mesh.Unavailable, "", "control: %s: a proxy in front of the service answers %s; the service itself is away", c.cfg.URL.Base(), resp.Status)
		e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
		return e
	case code == http.StatusProxyAuthRequired:
		return c.wantsPassword()
	}
	barrier := BarrierStranger
	if kind == "text/html" {
		barrier = BarrierCaptive
	}
	return c.barred(mesh.Invalid, barrier, "is not a nexservice: it answers %s with %s; check host, port and path of the URL (or a login page of the network is in between)", resp.Status, clip(oneLine(kind)))
}

// readBounded reads all of r, but no more than most bytes.
func readBounded(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, mesh.Errorf(mesh.Unavailable, "the response was cut off after %d bytes", len(body))
	case err != nil:
		return nil, mesh.Errorf(mesh.Unavailable, "the response ended early: %w", err)
	case int64(len(body)) > most:
		return nil, mesh.Errorf(mesh.Invalid, "the response is longer than %d bytes; this is not a nexservice", most)
	}
	return body, nil
}

// retryAfter reads the seconds of the header. It ignores dates, which the service does not
// send.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "control: cannot encode the request as JSON: %w", err)
	}
	return b, nil
}
