package agent

import (
	"errors"

	"nexd/mesh"
	"nexd/node"
)

// Hinted adds to an error of the node what the command line can do about it.
func Hinted(err error) error {
	kind := mesh.KindOf(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, node.ErrStateInUse):
		return mesh.Errorf(kind, "%w; stop it, or give this one its own --state-dir", err)
	case errors.Is(err, node.ErrOtherService):
		return mesh.Errorf(kind, "%w; use another --state-dir for another service", err)
	case errors.Is(err, node.ErrOtherPin):
		return mesh.Errorf(kind, "%w; if the service really has a new key, join with a new --state-dir", err)
	case errors.Is(err, node.ErrRemoved):
		return mesh.Errorf(kind, "%w; to join again, use a registration key, or use another --state-dir to join as a new node", err)
	case errors.Is(err, node.ErrCodeExpired):
		return mesh.Errorf(kind, "%w; run the same command again for a new code", err)
	case errors.Is(err, node.ErrNotEncrypted):
		return mesh.Errorf(kind, "%w, or allow it with --insecure-http", err)
	case errors.Is(err, node.ErrNoTLS):
		return mesh.Errorf(kind, "%w, and allow that with --insecure-http", err)
	case errors.Is(err, node.ErrNoTUN):
		return mesh.Errorf(kind, "%w; without --tun nexd runs in userspace mode", err)
	case errors.Is(err, node.ErrInterface):
		return mesh.Errorf(kind, "%w; choose another name with --interface=NAME", err)
	case errors.Is(err, node.ErrPortTaken):
		return mesh.Errorf(kind, "%w; choose another --listen-port", err)
	}
	return err
}
