package service

import (
	"net/http"
	"time"

	"nexd/control"
	"nexd/internal/addrlimit"
	"nexd/mesh"
)

// Calls that need no session are limited by address: a thousand agents behind one NAT
// may come back at once, a flood may not.
const (
	callBurst    = 6000
	callInterval = time.Second / 200
)

// limited refuses calls from an address that has used up its budget.
func limited(l *addrlimit.Limiter, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case control.PathChallenge, control.PathRegister, control.PathSession, control.PathDeviceLogin, control.PathDeviceToken, control.PathRelay:
			if c := callerOf(r.Context()); !l.Allow(c.addr) {
				w.Header().Set("Retry-After", "5")
				writeProblem(w, control.ProblemOf(mesh.Errorf(mesh.Exhausted, "service: too many calls from %v; wait a few seconds", c.addr)))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
