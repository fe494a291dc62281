package relay

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"nexd/mesh"
)

// dialError describes in one line why there is no WebSocket.
func dialError(at string, resp *http.Response, err error) error {
	if resp == nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // the libraries' words around it say nothing more
			err = e.Err
		}
		return mesh.Errorf(mesh.Unavailable, "relay: %s: %w", at, err)
	}
	text := ""
	if resp.Body != nil {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		text = printable(string(b))
	}
	kind := mesh.Unavailable
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized:
		kind = mesh.Denied
	}
	return mesh.Errorf(kind, "relay: %s answers %s: %s", at, resp.Status, text)
}
