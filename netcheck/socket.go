package netcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/stun"
)

// Socket is an unconnected UDP socket. *net.UDPConn is one.
type Socket = datagram.Conn

func listen(network string) (Socket, error) {
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err // c would be a non-nil Socket
	}
	return c, nil
}

// leaving returns the address of this host from which packets to another address leave. It is not
// valid if there is no route. Nothing is sent.
func leaving(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// resend are the pauses after which a request is sent again. The last pause is how long the last
// reply may take.
var resend = []time.Duration{250 * time.Millisecond, 400 * time.Millisecond, 550 * time.Millisecond}

// quickly returns shorter pauses, for a known round trip and requests that mostly get no reply.
func quickly(rtt time.Duration) []time.Duration {
	pause := min(3*rtt+150*time.Millisecond, 400*time.Millisecond)
	return []time.Duration{pause, pause, pause}
}

// errNoAnswer is the error of a request without a reply.
var errNoAnswer = errors.New("no answer")

// noTime is the reason for a result that only a timeout would have shown.
const noTime = "there was no time left to wait for an answer"

// asker sends STUN requests from one socket and assigns the replies to them. close ends it.
type asker struct {
	sock   Socket
	resend []time.Duration
	done   chan struct{} // closed when the reader has ended

	mu   sync.Mutex // guards what follows
	open map[stun.TxID]chan<- reply
}

// reply is a reply to a request, or the request itself if one socket of this host sent it to
// another.
type reply struct {
	stun.Response
	from netip.AddrPort
	took time.Duration // since it was sent for the last time
}

func newAsker(sock Socket) *asker {
	a := &asker{sock: sock, resend: resend, done: make(chan struct{}), open: map[stun.TxID]chan<- reply{}}
	go a.read()
	return a
}

func (a *asker) close() {
	a.sock.Close()
	<-a.done
}

func (a *asker) read() {
	defer close(a.done)
	buf := make([]byte, 2048)
	for {
		n, from, err := a.sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of one packet
			continue
		}
		r := reply{from: netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())}
		if r.Response, err = stun.ParseResponse(buf[:n]); err != nil {
			q, err := stun.ParseRequest(buf[:n])
			if err != nil {
				continue
			}
			r.ID = q.ID
		}
		a.mu.Lock()
		to := a.open[r.ID]
		delete(a.open, r.ID)
		a.mu.Unlock()
		if to != nil {
			to <- r // it has room for one
		}
	}
}

// expect returns the channel for the first packet of a transaction.
func (a *asker) expect(id stun.TxID) <-chan reply {
	ch := make(chan reply, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[id] = ch
	return ch
}

func (a *asker) forget(id stun.TxID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, id)
}

// ask sends a request until a reply arrives. Without one it returns errNoAnswer.
func (a *asker) ask(ctx context.Context, to netip.AddrPort, change stun.Change, size int) (reply, error) {
	return a.send(ctx, to, change, size, a)
}

// send is ask for a request that arrives at another socket of this host.
func (a *asker) send(ctx context.Context, to netip.AddrPort, change stun.Change, size int, at *asker) (reply, error) {
	id := stun.NewTxID()
	packet, came := stun.AppendProbe(nil, id, change, size), at.expect(id)
	defer at.forget(id)
	for _, pause := range a.resend {
		sent := time.Now()
		if _, err := a.sock.WriteToUDPAddrPort(packet, to); errors.Is(err, syscall.EMSGSIZE) || noRoute(err) {
			return reply{}, err // a later attempt would fail in the same way
		}
		t := time.NewTimer(pause)
		select {
		case r := <-came:
			t.Stop()
			r.took = time.Since(sent)
			return r, nil
		case <-ctx.Done():
			t.Stop()
			return reply{}, ctx.Err()
		case <-t.C:
		}
	}
	return reply{}, errNoAnswer
}

// noRoute reports whether an error means that this host has no route.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
