package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"

	"nexd/mesh"
)

// The replies of SOCKS5, RFC 1928 section 6.
const (
	replyOK byte = iota
	replyFailed
	replyNotAllowed
	replyNoRoute
	replyUnreachable
	replyRefused
	replyTimeout // "TTL expired" in the RFC; used for silence
	replyBadCommand
	replyBadAddressType
)

// reply is the answer to a client whose target could not be reached.
type reply struct {
	code   byte // of SOCKS5
	status int  // of HTTP
	text   string
}

// replyFor turns the error of a dial into an answer. An errno decides if there is one, otherwise the
// kind of the error.
//
//	                                SOCKS5  HTTP
//	connection refused                5     502
//	no route to the network           3     502
//	host unreachable, name unknown    4     502
//	no answer in time                 6     504
//	not allowed                       2     403
//	nonsense (mesh.Invalid)           1     400
//	away or exhausted for now         1     503
//	anything else                     1     502
func replyFor(err error) reply {
	for _, j := range [...]struct {
		err error
		reply
	}{
		{syscall.ECONNREFUSED, reply{replyRefused, http.StatusBadGateway, "connection refused"}},
		{syscall.ENETUNREACH, reply{replyNoRoute, http.StatusBadGateway, "no route to that network"}},
		{syscall.EHOSTUNREACH, reply{replyUnreachable, http.StatusBadGateway, "host unreachable"}},
		{syscall.EHOSTDOWN, reply{replyUnreachable, http.StatusBadGateway, "host unreachable"}},
		{syscall.ETIMEDOUT, reply{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{context.DeadlineExceeded, reply{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{os.ErrDeadlineExceeded, reply{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{syscall.EACCES, reply{replyNotAllowed, http.StatusForbidden, "not allowed"}},
		{syscall.EPERM, reply{replyNotAllowed, http.StatusForbidden, "not allowed"}},
	} {
		if errors.Is(err, j.err) {
			return j.reply
		}
	}
	switch mesh.KindOf(err) {
	case mesh.NotFound:
		return reply{replyUnreachable, http.StatusBadGateway, "name or host unknown"}
	case mesh.Denied:
		return reply{replyNotAllowed, http.StatusForbidden, "not allowed"}
	case mesh.Invalid:
		return reply{replyFailed, http.StatusBadRequest, "not an address to connect to"}
	case mesh.Unavailable, mesh.Exhausted:
		return reply{replyFailed, http.StatusServiceUnavailable, "not possible at the moment"}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return reply{replyUnreachable, http.StatusBadGateway, "name or host unknown"}
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return reply{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}
	}
	return reply{replyFailed, http.StatusBadGateway, "the connection failed"}
}
