package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"nexd/internal/unixsock"
	"nexd/mesh"
)

// maxBody bounds a request's body in bytes.
const maxBody = 64 << 10

// Listen opens the control socket at path for this user only. A socket file that
// nobody answers on, left by a killed agent, is replaced; one that is answered is
// a Conflict.
func Listen(path string) (net.Listener, error) {
	ln, err := unixsock.Listen(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.KindOf(err), "localapi: control socket: %w; choose another with --socket", err)
	}
	return ln, nil
}

// Serve answers local commands on ln until ctx ends; it closes ln.
func Serve(ctx context.Context, ln net.Listener, agent Agent, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           handler(agent),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(ctx, serveKey{}, ctx) },
	}
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		srv.Close()
	})
	err := srv.Serve(ln)
	if !unhook() {
		<-stopped
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("localapi: serve %v: %w", ln.Addr(), err)
}

func handler(agent Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, agent.Status(r.Context()), nil)
	})
	mux.HandleFunc("POST /v1/ping", func(w http.ResponseWriter, r *http.Request) {
		var req PingRequest
		if !decode(w, r, &req) {
			return
		}
		reply, err := agent.Ping(r.Context(), req)
		answer(w, reply, err)
	})
	mux.HandleFunc("GET /v1/forwards", func(w http.ResponseWriter, r *http.Request) {
		answer(w, agent.Forwards(), nil)
	})
	mux.HandleFunc("POST /v1/forwards", func(w http.ResponseWriter, r *http.Request) {
		var req forwardRequest
		if !decode(w, r, &req) {
			return
		}
		f, err := agent.AddForward(r.Context(), req.Spec)
		answer(w, f, err)
	})
	mux.HandleFunc("DELETE /v1/forwards", func(w http.ResponseWriter, r *http.Request) {
		var req forwardRequest
		if !decode(w, r, &req) {
			return
		}
		answer(w, struct{}{}, agent.RemoveForward(r.Context(), req.Spec))
	})
	if d, ok := agent.(Dialer); ok {
		mux.HandleFunc("POST /v1/dial", handleDial(d))
	}
	mux.HandleFunc("POST /v1/down", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, nil)
		http.NewResponseController(w).Flush() // best effort: the answer before the end
		agent.Down()
	})
	debug(mux)
	return mux
}

type forwardRequest struct {
	Spec string `json:"spec"`
}

type wireError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		answer(w, nil, mesh.Errorf(mesh.Invalid, "localapi: request body: %w", err))
		return false
	}
	return true
}

// answer writes value, or err. The peer is the agent's own user, so an error's
// text is shown whatever its kind.
func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		kind := mesh.KindOf(err)
		w.WriteHeader(statusOf[kind])
		value = wireError{Kind: kind.String(), Message: err.Error()}
	}
	json.NewEncoder(w).Encode(value) // a client that hung up is not our concern
}

var statusOf = map[mesh.Kind]int{
	mesh.Internal: http.StatusInternalServerError, mesh.Invalid: http.StatusBadRequest,
	mesh.NotFound: http.StatusNotFound, mesh.Conflict: http.StatusConflict,
	mesh.Exhausted: http.StatusTooManyRequests, mesh.Denied: http.StatusForbidden,
	mesh.Unavailable: http.StatusServiceUnavailable,
}
