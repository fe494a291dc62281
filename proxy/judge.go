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

// verdict is what a client is told about a target that could not be reached.
type verdict struct {
	reply  byte
	status int
	text   string
}

// judge turns the error of a dial into an answer. An errno says most; else the
// error's kind decides.
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
func judge(err error) verdict {
	for _, j := range [...]struct {
		err error
		verdict
	}{
		{syscall.ECONNREFUSED, verdict{replyRefused, http.StatusBadGateway, "connection refused"}},
		{syscall.ENETUNREACH, verdict{replyNoRoute, http.StatusBadGateway, "no route to that network"}},
		{syscall.EHOSTUNREACH, verdict{replyUnreachable, http.StatusBadGateway, "host unreachable"}},
		{syscall.EHOSTDOWN, verdict{replyUnreachable, http.StatusBadGateway, "host unreachable"}},
		{syscall.ETIMEDOUT, verdict{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{context.DeadlineExceeded, verdict{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{os.ErrDeadlineExceeded, verdict{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}},
		{syscall.EACCES, verdict{replyNotAllowed, http.StatusForbidden, "not allowed"}},
		{syscall.EPERM, verdict{replyNotAllowed, http.StatusForbidden, "not allowed"}},
	} {
		if errors.Is(err, j.err) {
			return j.verdict
		}
	}
	switch mesh.KindOf(err) {
	case mesh.NotFound:
		return verdict{replyUnreachable, http.StatusBadGateway, "name or host unknown"}
	case mesh.Denied:
		return verdict{replyNotAllowed, http.StatusForbidden, "not allowed"}
	case mesh.Invalid:
		return verdict{replyFailed, http.StatusBadRequest, "not an address to connect to"}
	case mesh.Unavailable, mesh.Exhausted:
		return verdict{replyFailed, http.StatusServiceUnavailable, "not possible at the moment"}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return verdict{replyUnreachable, http.StatusBadGateway, "name or host unknown"}
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return verdict{replyTimeout, http.StatusGatewayTimeout, "no answer in time"}
	}
	return verdict{replyFailed, http.StatusBadGateway, "the connection failed"}
}
