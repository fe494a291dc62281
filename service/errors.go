package service

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"nexd/control"
	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store"
)

// problem is the error as the caller sees it. The texts of internal errors and of
// database errors go to the log only.
func (s *Service) problem(ctx context.Context, err error) *control.Problem {
	if errors.Is(err, store.ErrDatabase) {
		if ctx.Err() == nil { // the caller still waits for the answer
			s.warnings.Do(func() { s.log.Warn("database cannot be used", "err", err) })
		}
		err = mesh.Errorf(mesh.Unavailable, "service: its database cannot be used right now; see the log of the service")
	}
	p := control.ProblemOf(err)
	var conflict *ipam.ConflictError
	if errors.As(err, &conflict) {
		h := conflict.Holding
		p.Holding = &h
	}
	if p.Status == http.StatusInternalServerError && ctx.Err() == nil {
		s.log.Error("request failed", "err", err)
	}
	return p
}

// writeProblem writes a problem as the answer, outside of huma's operations.
func writeProblem(w http.ResponseWriter, p *control.Problem) {
	w.Header().Set("Content-Type", control.TypeProblem)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// asProblem turns huma's own errors, about requests that it cannot read, into problems.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	kind := mesh.Invalid
	detail := m.Detail
	if m.Status >= 500 {
		kind, detail = mesh.Internal, "the service failed; its log says why"
	} else {
		for _, e := range m.Errors {
			detail += ": " + strings.TrimSpace(e.Location+" "+e.Message)
		}
	}
	return &control.Problem{Title: http.StatusText(m.Status), Status: m.Status, Kind: kind.String(), Detail: "service: request refused: " + detail}, nil
}

// recovered turns the panic of a handler into a 500 and a log line, so that other
// requests go on.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			switch {
			case v == nil:
			case v == http.ErrAbortHandler:
				panic(v)
			case r.Context().Err() != nil: // huma panics when the client hangs up during the answer
			default:
				log.Error("request handler panicked", "route", r.Pattern, "err", v)
				writeProblem(w, control.ProblemOf(mesh.Errorf(mesh.Internal, "panic")))
			}
		}()
		next.ServeHTTP(w, r)
	})
}
