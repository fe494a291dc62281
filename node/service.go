package node

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"nexd/control"
	"nexd/mesh"
	"nexd/node/state"
)

// serviceChoice is the service that this node belongs to, and how the node trusts it. The
// node settles both before it sends anything, and stores them once it has joined.
type serviceChoice struct {
	url    control.JoinURL
	key    control.RegKey // zero: a person decides
	client *control.Client
}

// socketFunc prepares a socket, as net.Dialer.Control does.
type socketFunc func(network, address string, c syscall.RawConn) error

// chooseService combines the configuration, the registration key and the state. outside prepares
// the sockets to the service and may be nil.
func chooseService(cfg Config, st *state.State, outside socketFunc) (*serviceChoice, error) {
	var s serviceChoice
	var err error
	if cfg.RegKey != "" {
		if s.key, err = control.ParseRegKey(cfg.RegKey); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.ServiceURL != "":
		if s.url, err = control.ParseJoinURL(cfg.ServiceURL); err != nil {
			return nil, err
		}
	case st.Service != nil:
		s.url = *st.Service
	default:
		return nil, fmt.Errorf("node: %w given, and none stored in %v; a service URL looks like https://HOST:8443/#pin=…", ErrNoService, st)
	}
	if s.url, err = s.url.WithKey(s.key); err != nil {
		return nil, err
	}
	if err := sameService(st, &s.url); err != nil {
		return nil, err
	}
	if s.url.Scheme == "http" && !cfg.InsecureHTTP {
		return nil, mesh.Errorf(mesh.Invalid, "node: %w: %s; use https://", ErrNotEncrypted, s.url.Base())
	}
	s.client, err = control.NewClient(control.Config{
		URL: s.url, Key: st.Key(), Insecure: cfg.InsecureHTTP, Version: cfg.Version, Logger: cfg.Logger.With("room", "control"), Control: outside,
		Proxy: cfg.ServiceProxy,
	})
	return &s, err
}

// sameService refuses to use an identity with another service. A pin that the state has stays in
// force.
func sameService(st *state.State, url *control.JoinURL) error {
	kept := st.Service
	switch {
	case kept == nil || st.Node == "":
		return nil
	case kept.Base() != url.Base():
		return because(ErrOtherService, mesh.Errorf(mesh.Conflict, "node: the node in %v belongs to the service %s, not to %s", st, kept.Base(), url.Base()))
	case url.Pin.IsZero():
		url.Pin = kept.Pin
	case !kept.Pin.Equal(url.Pin):
		return because(ErrOtherPin, mesh.Errorf(mesh.Conflict, "node: the pin of %s in %v is %v, but the URL has %v", kept.Base(), st, kept.Pin, url.Pin))
	}
	return nil
}

// registration describes this node, except for its endpoints.
func (s *serviceChoice) registration(cfg Config) control.Registration {
	r := control.Registration{
		RegKey: s.key.Secret(), Hostname: cfg.Hostname, OS: runtime.GOOS, Version: cfg.Version[:min(len(cfg.Version), control.MaxWord)],
	}
	if r.Hostname == "" {
		var err error
		if r.Hostname, err = os.Hostname(); err != nil {
			r.Hostname = "node"
		}
	}
	for _, a := range cfg.Advertise {
		r.Prefixes = append(r.Prefixes, a.Prefix)
	}
	return r
}
