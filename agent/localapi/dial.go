package localapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"nexd/internal/splice"
	"nexd/mesh"
)

// streamProtocol is what a connection becomes after POST /v1/dial: the bytes of the
// target and nothing else, with half-close.
const streamProtocol = "nexd-stream"

// halfOpen is how long a stream may be quiet after one side ended.
const halfOpen = time.Hour

// Dialer is an Agent that opens connections into the mesh for local commands.
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// handleDial serves POST /v1/dial?address=HOST:PORT. The dial ends when the client
// goes away; the client speaks only after the answer.
func handleDial(d Dialer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != streamProtocol {
			answer(w, nil, mesh.Errorf(mesh.Invalid, "localapi: /v1/dial needs Upgrade: %s", streamProtocol))
			return
		}
		target, err := d.Dial(r.Context(), "tcp", r.URL.Query().Get("address"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer target.Close()
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			answer(w, nil, err)
			return
		}
		head, _ := buf.Reader.Peek(buf.Reader.Buffered())
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", streamProtocol); err != nil {
			conn.Close()
			return
		}
		ctx := r.Context().Value(serveKey{}).(context.Context) // the request's ends with the hijack
		splice.Options{Head: bytes.Clone(head), HalfIdle: halfOpen}.Pipe(ctx, conn, target)
	}
}

// serveKey finds the context of Serve in that of a request.
type serveKey struct{}

// Stream is a connection into the mesh through the agent.
type Stream struct {
	*net.UnixConn
	in *bufio.Reader
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) { return s.in.Read(p) }

// Dial opens a TCP connection to HOST:PORT in the mesh. Ctx bounds the dial only.
func (c *Client) Dial(ctx context.Context, address string) (*Stream, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "localapi: nexd is not running, or its control socket is not %s: %w", c.path, err)
	}
	hangup := context.AfterFunc(ctx, func() { conn.Close() })
	s, err := upgrade(conn.(*net.UnixConn), address)
	if !hangup() {
		conn.Close()
		return nil, mesh.Errorf(mesh.Internal, "localapi: %s did not answer in time: %w", address, context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
	}
	return s, err
}

func upgrade(conn *net.UnixConn, address string) (*Stream, error) {
	_, err := fmt.Fprintf(conn, "POST /v1/dial?address=%s HTTP/1.1\r\nHost: nexd\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: 0\r\n\r\n",
		url.QueryEscape(address), streamProtocol)
	if err != nil {
		return nil, fmt.Errorf("localapi: dial %s: %w", address, err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("localapi: dial %s: %w", address, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return &Stream{conn, in}, nil
	}
	defer resp.Body.Close()
	var e wireError
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&e); err != nil {
		return nil, fmt.Errorf("localapi: dial %s: status %s", address, resp.Status)
	}
	return nil, mesh.Errorf(mesh.ParseKind(e.Kind), "%s", e.Message)
}
