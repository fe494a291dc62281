package service

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"unicode/utf8"

	"nexd/control"
	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store"
)

var eventType = reflect.TypeFor[control.Event]()

func (s *Service) registerNode(ctx context.Context, in *proved[control.Registration]) (*body[control.Registered], error) {
	r := in.Body
	if err := s.prover.check(r.PublicKey, in.Challenge, in.Proof, control.PathRegister, in.RawBody); err != nil {
		return nil, err
	}
	if err := s.checkPin(ctx, r.ServerPin); err != nil {
		return nil, err
	}
	if err := checkRegistration(r); err != nil {
		return nil, err
	}
	secret, err := regKeySecret(r.RegKey)
	if err != nil {
		return nil, err
	}
	if len(r.Approval) > maxApproval {
		return nil, control.Errorf(mesh.Denied, control.ReasonApproval, "service: the approval is not a device code")
	}
	reg, err := s.store.Register(ctx, store.Registration{
		Key: r.PublicKey, RegistrationKey: secret, Approval: r.Approval, Hostname: r.Hostname, OS: r.OS, Version: r.Version, Prefixes: r.Prefixes,
		Endpoints: withObserved(callerOf(ctx), r.ListenPort, r.Endpoints, []netip.Prefix{ipam.Pool4}), NAT: r.NAT.Clean(),
		OfflineSince: s.steady.before(store.ReplaceAfter),
	})
	if err != nil {
		return nil, notAdmitted(err, r)
	}
	org := reg.Organization
	sess, err := s.newSession(ctx, org.ID, reg.Node.ID)
	if err != nil {
		return nil, err
	}
	version, err := s.version(ctx, org.ID)
	if err != nil {
		return nil, err
	}
	if reg.New {
		s.log.Info("node registered", "node", reg.Node.Name, "id", reg.Node.ID, "organization", org.Name, "addr", callerOf(ctx).addr)
	}
	return &body[control.Registered]{control.Registered{
		Node: reg.Node, Organization: org.Name, Created: reg.New, Session: sess, Version: version,
	}}, nil
}

// checkRegistration checks the sizes of what a node registers with.
func checkRegistration(r control.Registration) error {
	words := []struct {
		name, text string
		most       int
	}{{"hostname", r.Hostname, control.MaxHostname}, {"os", r.OS, control.MaxWord}, {"version", r.Version, control.MaxWord}}
	for _, w := range words {
		if len(w.text) > w.most || !utf8.ValidString(w.text) {
			return mesh.Errorf(mesh.Invalid, "service: %s has %d bytes or is not UTF-8; at most %d bytes", w.name, len(w.text), w.most)
		}
	}
	if err := checkPrefixes(r.Prefixes); err != nil {
		return err
	}
	return control.CheckEndpoints(r.Endpoints)
}

func checkPrefixes(ps []netip.Prefix) error {
	if len(ps) > control.MaxPrefixes {
		return mesh.Errorf(mesh.Invalid, "service: %d prefixes are too many; at most %d", len(ps), control.MaxPrefixes)
	}
	return nil
}

// regKeySecret removes the pin from a registration key: only the node needs it.
func regKeySecret(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	k, err := control.ParseRegKey(text)
	if err != nil {
		return "", err
	}
	return k.Secret(), nil
}

// maxApproval bounds a device code, in bytes.
const maxApproval = 200

// notAdmitted adds the reason to an error that keeps a node out.
func notAdmitted(err error, r control.Registration) error {
	if errors.Is(err, store.ErrHeld) {
		return control.Errorf(mesh.Unavailable, control.ReasonHeld, "%w", err)
	}
	if mesh.KindOf(err) != mesh.Denied || control.ReasonOf(err) != "" {
		return err
	}
	switch {
	case errors.Is(err, store.ErrReplaced):
		return control.Errorf(mesh.Denied, control.ReasonGone, "%w", err)
	case r.RegKey == "" && r.Approval != "":
		return control.Errorf(mesh.Denied, control.ReasonApproval, "%w", err)
	case r.RegKey == "":
		return control.Errorf(mesh.Denied, control.ReasonRegKeyNeeded,
			"service: this node is not known here; approve it in a browser, or give it a registration key with --reg-key-file (nexservice key create creates one)")
	}
	return control.Errorf(mesh.Denied, control.ReasonRegKey, "%w", err)
}

// version is the current version of an organization's map.
func (s *Service) version(ctx context.Context, org mesh.OrgID) (mesh.Version, error) {
	meta, err := s.store.Meta(ctx)
	if err != nil {
		return mesh.Version{}, err
	}
	revs, err := s.store.Revs(ctx)
	if err != nil {
		return mesh.Version{}, err
	}
	return mesh.Version{Epoch: meta.Epoch, Rev: revs[org].Map}, nil
}

func (s *Service) openSession(ctx context.Context, in *proved[control.SessionRequest]) (*body[control.SessionAnswer], error) {
	r := in.Body
	if err := s.prover.check(r.PublicKey, in.Challenge, in.Proof, control.PathSession, in.RawBody); err != nil {
		return nil, err
	}
	if err := s.checkPin(ctx, r.ServerPin); err != nil {
		return nil, err
	}
	org, node, err := s.store.NodeByKey(ctx, r.PublicKey)
	if mesh.KindOf(err) == mesh.NotFound {
		return nil, control.Errorf(mesh.Denied, control.ReasonGone, "service: this node is not known here, or no longer; register it again with a registration key")
	}
	if err != nil {
		return nil, err
	}
	sess, err := s.newSession(ctx, org, node)
	if err != nil {
		return nil, err
	}
	return &body[control.SessionAnswer]{control.SessionAnswer{Session: sess}}, nil
}

func (s *Service) setPrefixes(ctx context.Context, in *authed[control.PrefixUpdate]) (*body[control.PrefixAnswer], error) {
	sess, err := s.session(ctx, in.Authorization)
	if err != nil {
		return nil, err
	}
	if err := checkPrefixes(in.Body.Prefixes); err != nil {
		return nil, err
	}
	if err := s.store.SetAdvertised(ctx, sess.Org, sess.Node, in.Body.Prefixes); err != nil {
		return nil, err
	}
	version, err := s.version(ctx, sess.Org)
	if err != nil {
		return nil, err
	}
	answer := control.PrefixAnswer{Version: version, Prefixes: in.Body.Prefixes}
	if answer.Prefixes == nil {
		answer.Prefixes = []netip.Prefix{}
	}
	return &body[control.PrefixAnswer]{answer}, nil
}

func (s *Service) setEndpoints(ctx context.Context, in *authed[control.EndpointUpdate]) (*body[control.EndpointAnswer], error) {
	sess, err := s.session(ctx, in.Authorization)
	if err != nil {
		return nil, err
	}
	if err := control.CheckEndpoints(in.Body.Endpoints); err != nil {
		return nil, err
	}
	org, err := s.store.Organization(ctx, sess.Org)
	if err != nil {
		return nil, err
	}
	eps := withObserved(callerOf(ctx), in.Body.ListenPort, in.Body.Endpoints, org.Pools())
	if err := s.store.SetEndpoints(ctx, sess.Org, sess.Node, eps, in.Body.NAT.Clean()); err != nil {
		return nil, err
	}
	return &body[control.EndpointAnswer]{control.EndpointAnswer{Endpoints: eps}}, nil
}

func (s *Service) removeNode(ctx context.Context, in *bare) (*struct{}, error) {
	sess, err := s.session(ctx, in.Authorization)
	if err != nil {
		return nil, err
	}
	d, err := s.store.RemoveNode(ctx, sess.Org, string(sess.Node))
	if err != nil {
		return nil, err
	}
	s.log.Info("node left", "node", d.Name, "id", d.ID)
	return nil, nil
}
