package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/tunnel/tundev"
)

// ErrNoService is what Run fails with when neither its Config nor the state names
// a service.
var ErrNoService = errors.New("agent: no service URL")

// chooseService settles which service this node belongs to, and by what it is
// trusted, before anything is sent; the choice is kept in the state.
func (n *node) chooseService() error {
	url, key, err := n.serviceURL()
	if err != nil {
		return err
	}
	client, err := control.NewClient(control.Config{
		URL: url, Key: n.state.key, Insecure: n.cfg.InsecureHTTP, Version: n.cfg.Version, Logger: n.log.With("room", "control"),
		DialContext: n.dialService(),
	})
	if err != nil {
		return err
	}
	hostname := n.cfg.Hostname
	if hostname == "" {
		if hostname, err = os.Hostname(); err != nil {
			hostname = "node"
		}
	}
	n.link = &link{url: url.Base()}
	n.member = &member{
		client: client, log: n.log, link: n.link, known: n.state.Node != "",
		joined: func(r control.Registered) error { return n.joined(url, r) },
		again:  make(chan struct{}, 1),
		asks:   &approver{client: client, key: n.state.key.Public(), show: n.cfg.Approve, log: n.log},
		self: func() control.Registration {
			r := n.cfg.registration(key, hostname)
			r.Endpoints, r.ListenPort, r.NAT = n.endpoints(), n.path.bind.LocalPort(), natOf(n.path.bind.Mapped())
			return r
		},
	}
	return nil
}

// dialService keeps the service reachable in TUN mode even where its address lies
// in a prefix of the mesh; nil is the usual way.
func (n *node) dialService() func(context.Context, string, string) (net.Conn, error) {
	if n.mode != tunMode {
		return nil
	}
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: tundev.Outside}).DialContext
}

// serviceURL joins what the command line, the registration key and the state say.
func (n *node) serviceURL() (url control.JoinURL, key control.RegKey, err error) {
	if n.cfg.RegKey != "" {
		if key, err = control.ParseRegKey(n.cfg.RegKey); err != nil {
			return url, key, err
		}
	}
	kept := n.state.Service
	switch {
	case n.cfg.ServiceURL != "":
		if url, err = control.ParseJoinURL(n.cfg.ServiceURL); err != nil {
			return url, key, err
		}
	case kept != nil:
		url = *kept
	default:
		return url, key, fmt.Errorf("%w given, and none stored in %s; a service URL looks like https://HOST:8443/#pin=…", ErrNoService, n.state.dir)
	}
	if url, err = url.WithKey(key); err != nil {
		return url, key, err
	}
	return url, key, n.sameService(kept, &url)
}

// sameService refuses to take an identity to another service, and keeps the way
// of trust: a pin once used stays.
func (n *node) sameService(kept, url *control.JoinURL) error {
	switch {
	case kept == nil || n.state.Node == "":
		return nil
	case kept.Base() != url.Base():
		return mesh.Errorf(mesh.Conflict, "agent: the node in %s belongs to the service %s, not to %s; use another --state-dir for another service", n.state.dir, kept.Base(), url.Base())
	case url.Pin.IsZero():
		url.Pin = kept.Pin
	case !kept.Pin.Equal(url.Pin):
		return mesh.Errorf(mesh.Conflict, "agent: the pin of %s in %s is %v, but the URL has %v; if the service really has a new key, join with a new --state-dir", kept.Base(), n.state.dir, kept.Pin, url.Pin)
	}
	return nil
}

// joined keeps what a registration settled.
func (n *node) joined(url control.JoinURL, r control.Registered) error {
	n.first.Do(func() { close(n.relay.joined) })
	if n.state.Node == r.Node.ID && n.state.Service != nil && *n.state.Service == url {
		return nil
	}
	n.state.Node, n.state.Service = r.Node.ID, &url
	n.log.Info("joined", "organization", r.Organization, "node", r.Node.Name, "addresses", r.Node.Addresses)
	return n.state.save()
}
