package relay

import (
	"io"
	"net/http"

	"nexd/mesh"
)

// dialError says in one line why there is no WebSocket.
func dialError(url string, resp *http.Response, err error) error {
	if resp == nil {
		return mesh.Errorf(mesh.Unavailable, "relay: %s: %w", url, err)
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
	return mesh.Errorf(kind, "relay: %s answers %s: %s", url, resp.Status, text)
}
