package netcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"nexd/internal/stun"
)

// Socket is an unconnected UDP socket; *net.UDPConn is one.
type Socket interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

func listen(network string) (Socket, error) {
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err // not a nil *net.UDPConn in a Socket
	}
	return c, nil
}

// leaving is the own address from which packets to another leave; invalid without
// a way there. Nothing is sent.
func leaving(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// resend are the pauses after which a request is sent again. The last is how long
// the last one is waited for.
var resend = []time.Duration{250 * time.Millisecond, 400 * time.Millisecond, 550 * time.Millisecond}

// quickly are the same where the round trip is known and silence is what most
// requests get.
func quickly(rtt time.Duration) []time.Duration {
	pause := min(3*rtt+150*time.Millisecond, 400*time.Millisecond)
	return []time.Duration{pause, pause, pause}
}

// errSilent says that nothing came back.
var errSilent = errors.New("no answer")

// noTime is why something is not known that silence alone would have told.
const noTime = "there was no time left to wait for an answer"

// asker sends STUN requests from one socket and joins the answers to them. It ends
// with close.
type asker struct {
	sock   Socket
	resend []time.Duration
	done   chan struct{} // the reader has ended

	mu   sync.Mutex // guards what follows
	open map[stun.TxID]chan<- reply
}

// reply is what came back to a request: an answer, or the request itself, when one
// socket of this host sent it to another.
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
		if err != nil { // of one packet: nobody listens where it went
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

// expect is where the first packet of a transaction arrives.
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

// ask sends a request until it is answered; errSilent if it is not.
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
		if _, err := a.sock.WriteToUDPAddrPort(packet, to); errors.Is(err, syscall.EMSGSIZE) || noWay(err) {
			return reply{}, err // it will not be other in a moment
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
	return reply{}, errSilent
}

// noWay says that this host knows no way there.
func noWay(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
