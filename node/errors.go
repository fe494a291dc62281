package node

import (
	"errors"

	"nexd/control"
	"nexd/node/datapath"
	"nexd/node/state"
)

// Errors of New and Run that a program may want to tell its user a way out of. They are
// found with errors.Is.
var (
	ErrNoService    = errors.New("no service URL")                      // neither Config nor the state names a service
	ErrUnreachable  = errors.New("the service is unreachable")          // a node that never joined cannot reach its service
	ErrNotEncrypted = control.ErrNotEncrypted                           // http:// without Config.InsecureHTTP
	ErrNoTLS        = control.ErrNoTLS                                  // https://, but the service speaks plain HTTP
	ErrOtherService = errors.New("the node belongs to another service") // the state's service is not Config.ServiceURL
	ErrOtherPin     = errors.New("the service has another key")         // the URL's pin is not the state's
	ErrRemoved      = errors.New("this node was removed from its organization")
	ErrCodeExpired  = errors.New("this node's code expired before anybody approved it")
	ErrStateInUse   = state.ErrInUse              // another process runs a node with Config.StateDir
	ErrNoTUN        = datapath.ErrNoTUN           // Config.Mode is TUN, which is not possible here
	ErrPortTaken    = datapath.ErrPortTaken       // Config.ListenPort is in use
	ErrInterface    = datapath.ErrInterfaceExists // Config.Interface exists already

	// ErrNoRelay is why a node of a service without a relay has no relay. Its text is in
	// Status.Relay.
	ErrNoRelay = datapath.ErrNoRelay
)

// because gives err a cause that errors.Is finds and that its text does not show.
func because(cause, err error) error { return &caused{err, cause} }

type caused struct{ err, cause error }

func (c *caused) Error() string   { return c.err.Error() }
func (c *caused) Unwrap() []error { return []error{c.err, c.cause} }
