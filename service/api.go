package service

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// proved is a call with an answered challenge. RawBody is what the proof is over.
type proved[T any] struct {
	Challenge string `header:"Nexd-Challenge"`
	Proof     string `header:"Nexd-Proof"`
	Body      T
	RawBody   []byte
}

// authed is a call with a session.
type authed[T any] struct {
	Authorization string `header:"Authorization"`
	Body          T
}

type bare struct {
	Authorization string `header:"Authorization"`
}

type body[T any] struct{ Body T }

// register puts the calls of the protocol on a mux.
func (s *Service) register(mux *http.ServeMux, version string) {
	if version == "" {
		version = "0"
	}
	cfg := huma.DefaultConfig("nexservice", version)
	cfg.Info.Description = "The control plane of nexd. docs/protocol.md says what the calls mean."
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	cfg.Transformers = []huma.Transformer{asProblem}
	api := humago.New(mux, cfg)

	op(s, api, http.MethodPost, control.PathChallenge, "Hand out a challenge", s.challenge)
	op(s, api, http.MethodPost, control.PathRegister, "Register a node and open a session", s.registerNode)
	op(s, api, http.MethodPost, control.PathSession, "Open a session of a known node", s.openSession)
	op(s, api, http.MethodPut, control.PathPrefixes, "Set what the node advertises", s.setPrefixes)
	op(s, api, http.MethodPut, control.PathEndpoints, "Set where the node may be reached", s.setEndpoints)
	op(s, api, http.MethodDelete, control.PathNode, "Remove the node", s.removeNode)
	op(s, api, http.MethodGet, control.PathHealth, "Say whether the service can do its work", s.health)

	mux.HandleFunc("GET "+control.PathWatch, s.serveWatch)
	event := huma.SchemaFromType(api.OpenAPI().Components.Schemas, eventType)
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "watch", Method: http.MethodGet, Path: control.PathWatch, Summary: "Stream the network map",
		Parameters: []*huma.Param{{Name: "have", In: "query", Description: "EPOCH:REV of the map at hand", Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses: map[string]*huma.Response{"200": {
			Description: "One event a line", Content: map[string]*huma.MediaType{control.TypeStream: {Schema: event}}}},
	})
}

// op adds one operation whose errors go out as problems.
func op[I, O any](s *Service, api huma.API, method, path, summary string, do func(context.Context, *I) (*O, error)) {
	huma.Register(api, huma.Operation{
		OperationID: strings.ToLower(method) + strings.ReplaceAll(path, "/", "-"),
		Method:      method, Path: path, Summary: summary,
		MaxBodyBytes: control.MaxRequest, BodyReadTimeout: -1, // the server's own limit holds
		SkipValidateBody: true, // unknown fields are allowed; the Go types and the handlers judge the rest
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

func (s *Service) health(ctx context.Context, _ *struct{}) (*body[control.Health], error) {
	if _, err := s.store.Meta(ctx); err != nil {
		return nil, err
	}
	return &body[control.Health]{control.Health{Status: "ok"}}, nil
}

func (s *Service) challenge(_ context.Context, in *body[control.ChallengeRequest]) (*body[control.Challenge], error) {
	ch, err := s.prover.challenge(in.Body.PublicKey)
	if err != nil {
		return nil, err
	}
	return &body[control.Challenge]{ch}, nil
}

// session finds the session that a call belongs to.
func (s *Service) session(ctx context.Context, authorization string) (store.Session, error) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" || len(token) > 200 {
		return store.Session{}, control.Errorf(mesh.Denied, control.ReasonSession, "service: the call needs a session")
	}
	sess, err := s.store.Session(ctx, token)
	switch mesh.KindOf(err) {
	case mesh.Denied, mesh.NotFound:
		return store.Session{}, control.Errorf(mesh.Denied, control.ReasonSession, "service: the session has ended; prove the node's key again")
	}
	return sess, err
}

// newSession opens a session of a node.
func (s *Service) newSession(ctx context.Context, org mesh.OrgID, node mesh.NodeID) (control.Session, error) {
	token, sess, err := s.store.CreateSession(ctx, org, node, control.SessionLife)
	if err != nil {
		return control.Session{}, err
	}
	return control.Session{Token: token, Expires: sess.Expires.UTC().Truncate(time.Second)}, nil
}

// checkPin refuses a node whose TLS connection ends at somebody else: its proof
// would have been made for that other one.
func (s *Service) checkPin(ctx context.Context, seen control.Pin) error {
	if s.pin.IsZero() || callerOf(ctx).proxied || seen.Equal(s.pin) {
		return nil
	}
	return control.Errorf(mesh.Denied, control.ReasonServerPin,
		"service: the node's TLS connection does not end here but at a proxy that opens TLS; exempt this service from inspection, or name the proxy with --trusted-proxy")
}
