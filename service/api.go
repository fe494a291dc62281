package service

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// proved is the input of a call that answers a challenge. The proof covers RawBody.
type proved[T any] struct {
	Challenge string `header:"Nexd-Challenge"`
	Proof     string `header:"Nexd-Proof"`
	Body      T
	RawBody   []byte
}

// authed is the input of a call with a session.
type authed[T any] struct {
	Authorization string `header:"Authorization"`
	Body          T
}

// bare is the input of a call with a session and without a body.
type bare struct {
	Authorization string `header:"Authorization"`
}

// body is an input or an answer that is nothing but a body.
type body[T any] struct{ Body T }

// register adds the calls of the protocol to a mux.
func (s *Service) register(mux *http.ServeMux, version string) {
	if version == "" {
		version = "0"
	}
	cfg := huma.DefaultConfig("nexservice", version)
	cfg.Info.Description = "The control plane of nexd. docs/protocol.md says what the calls mean."
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	cfg.Transformers = []huma.Transformer{asProblem}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		schemeProof:   {Type: "apiKey", In: "header", Name: control.HeaderProof, Description: "answer to a challenge, with " + control.HeaderChallenge},
		schemeSession: {Type: "http", Scheme: "bearer", Description: "session of a node, nxs_…"},
		schemeToken:   {Type: "http", Scheme: "bearer", Description: "API token of a person, nxt_…"},
	}
	api := humago.New(mux, cfg)

	op(s, api, http.MethodPost, control.PathChallenge, "Hand out a challenge", schemeNone, s.challenge)
	op(s, api, http.MethodPost, control.PathRegister, "Register a node and open a session", schemeProof, s.registerNode)
	op(s, api, http.MethodPost, control.PathSession, "Open a session of a known node", schemeProof, s.openSession)
	op(s, api, http.MethodPost, control.PathDeviceLogin, "Ask a person to approve a node", schemeProof, s.startDevice)
	op(s, api, http.MethodPost, control.PathDeviceToken, "Ask whether the person has answered", schemeProof, s.pollDevice)
	op(s, api, http.MethodPut, control.PathPrefixes, "Set what the node advertises", schemeSession, s.setPrefixes)
	op(s, api, http.MethodPut, control.PathEndpoints, "Set where the node may be reached", schemeSession, s.setEndpoints)
	op(s, api, http.MethodPost, control.PathRelayToken, "Admit the node to the relay, and name the addresses of relay and STUN", schemeSession, s.relayToken)
	op(s, api, http.MethodDelete, control.PathNode, "Remove the node", schemeSession, s.removeNode)
	op(s, api, http.MethodGet, control.PathHealth, "Report whether the service works", schemeNone, s.health)
	s.registerAdmin(api)

	mux.HandleFunc("GET "+control.PathWatch, s.serveWatch)
	event := huma.SchemaFromType(api.OpenAPI().Components.Schemas, eventType)
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "watch", Method: http.MethodGet, Path: control.PathWatch, Summary: "Stream the network map",
		Security:   []map[string][]string{{schemeSession: {}}},
		Parameters: []*huma.Param{{Name: "have", In: "query", Description: "EPOCH:REV of the map at hand", Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses: map[string]*huma.Response{"200": {
			Description: "One event a line", Content: map[string]*huma.MediaType{control.TypeStream: {Schema: event}}}},
	})
}

// The security schemes of the OpenAPI document: what a call must carry.
const (
	schemeNone    = ""
	schemeProof   = "nodeProof"
	schemeSession = "nodeSession"
	schemeToken   = "apiToken"
)

var pathParams = strings.NewReplacer("{", "", "}", "", "/", "-")

func newOperation(method, path, summary, scheme string) huma.Operation {
	o := huma.Operation{
		OperationID: strings.ToLower(method) + pathParams.Replace(path),
		Method:      method, Path: path, Summary: summary,
		MaxBodyBytes: control.MaxRequest, BodyReadTimeout: -1, // the server's own limit applies
		SkipValidateBody: true, // unknown fields are allowed; Go types and handlers check the rest
	}
	if scheme != schemeNone {
		o.Security = []map[string][]string{{scheme: {}}}
	}
	return o
}

// op adds an operation. Its errors are answered as problems.
func op[I, O any](s *Service, api huma.API, method, path, summary, scheme string, do func(context.Context, *I) (*O, error)) {
	huma.Register(api, newOperation(method, path, summary, scheme), func(ctx context.Context, in *I) (*O, error) {
		out, err := do(asNode(ctx), in)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return out, nil
	})
}

// asNode makes the calling node the actor of the changes that it makes.
func asNode(ctx context.Context) context.Context {
	return store.WithActor(ctx, store.Actor{Name: "node", Via: string(people.ViaNode), From: callerOf(ctx).addr})
}

// failed turns the error of a call into its answer.
func (s *Service) failed(ctx context.Context, err error) error {
	p := s.problem(ctx, err)
	wait := control.RetryAfter(err)
	if wait <= 0 {
		return p
	}
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(int((wait + time.Second - 1) / time.Second))}})
}

func (s *Service) health(ctx context.Context, _ *struct{}) (*body[control.Health], error) {
	if _, err := s.store.Meta(ctx); err != nil {
		return nil, err
	}
	return &body[control.Health]{control.Health{Status: "ok", Time: s.now().UTC(), STUN: s.relay.STUN, Relay: s.relay.Handler != nil}}, nil
}

func (s *Service) challenge(_ context.Context, in *body[control.ChallengeRequest]) (*body[control.Challenge], error) {
	ch, err := s.prover.challenge(in.Body.PublicKey)
	if err != nil {
		return nil, err
	}
	return &body[control.Challenge]{ch}, nil
}

// session finds the session of a call.
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

// newSession opens a session for a node.
func (s *Service) newSession(ctx context.Context, org mesh.OrgID, node mesh.NodeID) (control.Session, error) {
	token, sess, err := s.store.CreateSession(ctx, org, node, control.SessionLife)
	if err != nil {
		return control.Session{}, err
	}
	return control.Session{Token: token, Expires: sess.Expires.UTC().Truncate(time.Second)}, nil
}

// checkPin refuses a node whose TLS connection ends at another server: the node would
// have made its proof for that server.
func (s *Service) checkPin(ctx context.Context, seen control.Pin) error {
	if s.pin.IsZero() || callerOf(ctx).proxied || seen.Equal(s.pin) {
		return nil
	}
	return control.Errorf(mesh.Denied, control.ReasonServerPin,
		"service: the node's TLS connection does not end here but at a proxy that opens TLS; exempt this service from inspection, or name the proxy with --trusted-proxy")
}
