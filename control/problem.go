package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"nexd/mesh"
)

// Reasons distinguish errors of one kind for programs; see docs/protocol.md.
const (
	ReasonSession      = "session"        // send a new proof
	ReasonChallenge    = "challenge"      // expired or used: request another
	ReasonProof        = "proof"          // the proof is wrong
	ReasonRegKeyNeeded = "reg_key_needed" // an unknown node without a registration key
	ReasonRegKey       = "reg_key"        // unknown, expired, used up or revoked; the detail says which
	ReasonHeld         = "held"           // a prefix is held by a node that this one may replace soon
	ReasonGone         = "gone"           // the node is unknown or removed
	ReasonServerPin    = "server_pin"     // the node's TLS connection ends at another server
	ReasonApproval     = "approval"       // unknown, expired, used, or for another node or other prefixes
	ReasonRelayToken   = "relay_token"    // missing, invalid or expired: request another
)

// Problem is an error on the wire: RFC 9457 with a kind.
type Problem struct {
	Title   string        `json:"title"`
	Status  int           `json:"status"`
	Kind    string        `json:"kind" doc:"invalid, denied, not_found, conflict, exhausted, unavailable or internal"`
	Detail  string        `json:"detail"`
	Reason  string        `json:"reason,omitempty"`
	Holding *mesh.Holding `json:"holding,omitempty" doc:"the holding that is in the way of a prefix"`
}

// ContentType is the media type of a Problem, independent of content negotiation.
func (p *Problem) ContentType(string) string { return TypeProblem }

// GetStatus is the HTTP status of the problem.
func (p *Problem) GetStatus() int { return p.Status }

// Error is the problem in one line.
func (p *Problem) Error() string { return p.Detail }

// StatusOf is the HTTP status of a kind.
func StatusOf(k mesh.Kind) int {
	switch k {
	case mesh.Invalid:
		return http.StatusBadRequest
	case mesh.NotFound:
		return http.StatusNotFound
	case mesh.Conflict:
		return http.StatusConflict
	case mesh.Exhausted:
		return http.StatusTooManyRequests
	case mesh.Denied:
		return http.StatusForbidden
	case mesh.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// internalDetail replaces the text of internal errors, which never leaves the service.
const internalDetail = "the service failed; its log says why"

// ProblemOf returns the problem for an error. For an internal error it reveals no details.
func ProblemOf(err error) *Problem {
	kind := mesh.KindOf(err)
	p := &Problem{Status: StatusOf(kind), Kind: kind.String(), Detail: internalDetail}
	if kind != mesh.Internal {
		p.Detail = oneLine(err.Error())
	}
	var e *Error
	if errors.As(err, &e) {
		p.Reason, p.Holding = e.Reason, e.Holding
		if e.Reason == ReasonSession || e.Reason == ReasonToken {
			p.Status = http.StatusUnauthorized
		}
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// Error is an error that was or will be sent over the wire. mesh.KindOf returns its kind.
type Error struct {
	Reason     string        // one of the Reason… words, or empty
	Holding    *mesh.Holding // the holding in the way, for a prefix conflict
	RetryAfter time.Duration // minimum wait before the next call
	err        error
}

// Errorf makes an error of a kind with a reason. %w wraps as in fmt.Errorf.
func Errorf(kind mesh.Kind, reason, format string, args ...any) *Error {
	return &Error{Reason: reason, err: mesh.Errorf(kind, format, args...)}
}

// Error is the error in one line.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the error its kind.
func (e *Error) Unwrap() error { return e.err }

// ReasonOf is the reason of an error, if it has one.
func ReasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// RetryAfter returns the minimum wait before the next call, or 0.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// ParseProblem reads the body of an error answer. ok is false if the body is not a problem of
// this protocol.
func ParseProblem(body []byte) (p *Problem, ok bool) {
	p = new(Problem)
	if err := json.Unmarshal(bytes.TrimSpace(body), p); err != nil || p.Kind == "" {
		return nil, false
	}
	return p, true
}

// Err returns the problem as an error of its kind, prefixed with its origin.
func (p *Problem) Err(from string) *Error {
	detail := oneLine(p.Detail)
	if detail == "" {
		detail = p.Kind
	}
	e := Errorf(mesh.ParseKind(p.Kind), p.Reason, "%s: %s", from, detail)
	e.Holding = p.Holding
	return e
}

// oneLine makes untrusted text safe for a log line or a terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}
