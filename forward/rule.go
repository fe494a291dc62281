package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nexd/mesh"
)

// Status describes one forward.
type Status struct {
	Direction string    `json:"direction"` // local or remote
	Spec      string    `json:"spec"`
	Listening []string  `json:"listening"` // addresses; empty while it cannot listen
	Active    int       `json:"active"`    // TCP connections or UDP clients now
	Total     uint64    `json:"total"`     // the same since the start
	Refused   uint64    `json:"refused"`   // clients turned away at a limit
	Sent      int64     `json:"sent_bytes"`
	Received  int64     `json:"received_bytes"` // from the target
	Down      []string  `json:"down,omitempty"` // targets that are skipped for now
	LastError string    `json:"last_error,omitempty"`
	ErrorAt   time.Time `json:"last_error_at,omitzero"`
}

// rule is one forward and its state.
type rule struct {
	cfg  Config
	spec Spec
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	stop     chan struct{} // closed to end it
	stopOnce sync.Once
	gone     chan struct{} // closed when it has ended

	turns  turns  // of the targets
	shares shares // of the clients

	active         atomic.Int64
	total, refused atomic.Uint64
	sent, received atomic.Int64

	mu      sync.Mutex
	open    *sockets // made by tryOpen, taken by run
	listens []string
	lastErr error
	errAt   time.Time
}

// sockets are the sockets of a rule: listeners for TCP, packet conns for UDP. The offset of each is
// the distance of its port from the first port of the rule.
type sockets struct {
	tcp []stream
	udp []packet
}

type (
	stream struct {
		net.Listener
		offset uint16
	}
	packet struct {
		net.PacketConn
		offset uint16
	}
)

func (s *sockets) close() {
	if s == nil {
		return
	}
	for _, l := range s.tcp {
		l.Close()
	}
	for _, p := range s.udp {
		p.Close()
	}
}

// maxShown is how many addresses of a range a status lists.
const maxShown = 4

func (s *sockets) addresses() (out []string) {
	for _, l := range s.tcp {
		out = append(out, l.Addr().String())
	}
	for _, p := range s.udp {
		out = append(out, p.LocalAddr().String())
	}
	if len(out) > maxShown {
		out = []string{out[0], "…", out[len(out)-1]}
	}
	return out
}

func newRule(cfg Config, s Spec) *rule {
	r := &rule{cfg: cfg, spec: s, dial: cfg.DialMesh, stop: make(chan struct{}), gone: make(chan struct{})}
	if s.Direction == Remote {
		r.dial = cfg.DialHost
	}
	return r
}

// listen opens all sockets of the rule, or none.
func (r *rule) listen(ctx context.Context) (*sockets, error) {
	tcp, udp := r.cfg.ListenHost, r.cfg.ListenPacketHost
	if r.spec.Direction == Remote {
		tcp, udp = r.cfg.ListenMesh, r.cfg.ListenPacketMesh
	}
	s := &sockets{}
	for offset := range int(r.spec.Span) + 1 {
		for _, where := range r.spec.listensAt(uint16(offset)) {
			if err := s.add(ctx, where, uint16(offset), tcp, udp); err != nil {
				s.close()
				return nil, mesh.Errorf(listenKind(err), "forward: %s %v: cannot listen on %s: %w", r.spec.Direction.Flag(), r.spec, where[1], cause(err))
			}
		}
	}
	return s, nil
}

func (s *sockets) add(ctx context.Context, where [2]string, offset uint16, tcp func(context.Context, string, string) (net.Listener, error),
	udp func(context.Context, string, string) (net.PacketConn, error)) error {
	if strings.HasPrefix(where[0], "udp") {
		pc, err := udp(ctx, where[0], where[1])
		if err == nil {
			s.udp = append(s.udp, packet{pc, offset})
		}
		return err
	}
	ln, err := tcp(ctx, where[0], where[1])
	if err == nil {
		s.tcp = append(s.tcp, stream{ln, offset})
	}
	return err
}

func listenKind(err error) mesh.Kind {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return mesh.Conflict
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return mesh.Denied
	case mesh.KindOf(err) != mesh.Internal:
		return mesh.KindOf(err)
	default:
		return mesh.Unavailable
	}
}

// cause strips the operation and the addresses from a network error, since the message around it
// contains them already.
func cause(err error) error {
	if op, ok := err.(*net.OpError); ok && op.Err != nil {
		return op.Err
	}
	return err
}

// tryOpen opens the sockets for run to take, or records the error for status.
func (r *rule) tryOpen(ctx context.Context) error {
	s, err := r.listen(ctx)
	if err != nil {
		r.failed(err, "forward: cannot listen")
		return err
	}
	shown := r.shown(s)
	r.mu.Lock()
	r.open, r.listens = s, shown
	r.mu.Unlock()
	r.cfg.Logger.Info("forward: listening", "rule", r.name(), "addr", shown)
	return nil
}

// shown returns the addresses of s for people. A remote forward listens on the node's addresses in
// the mesh, and shows those instead of 0.0.0.0 and [::], on which the host does not listen.
func (r *rule) shown(s *sockets) []string {
	out := s.addresses()
	if r.spec.Direction != Remote || r.cfg.MeshAddresses == nil {
		return out
	}
	own := r.cfg.MeshAddresses()
	for i, text := range out {
		at, err := netip.ParseAddrPort(text)
		if err != nil || !at.Addr().IsUnspecified() {
			continue
		}
		if j := slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() == at.Addr().Is4() }); j >= 0 {
			out[i] = netip.AddrPortFrom(own[j], at.Port()).String()
		}
	}
	return out
}

// run serves the rule until ctx ends or end is called. After a failure to listen it opens the rule
// again.
func (r *rule) run(ctx context.Context) {
	defer close(r.gone)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		if s := r.takeOpen(); s != nil {
			err := r.serve(ctx, s)
			r.setListening(nil)
			if ctx.Err() != nil {
				return
			}
			r.failed(err, "forward: listener broke")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.cfg.Retry):
		}
		_ = r.tryOpen(ctx) // its error is in the status
	}
}

func (r *rule) takeOpen() *sockets {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.open
	r.open = nil
	return s
}

func (r *rule) setListening(addresses []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listens = addresses
}

// serve blocks until ctx ends or one listener breaks, and all of its goroutines have returned.
func (r *rule) serve(ctx context.Context, s *sockets) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, s.close)()
	defer s.close()
	broke := make(chan error, len(s.tcp)+len(s.udp))
	for _, ln := range s.tcp {
		wg.Go(func() { broke <- r.serveTCP(ctx, ln.Listener, ln.offset) })
	}
	for _, pc := range s.udp {
		wg.Go(func() { broke <- r.serveUDP(ctx, pc.PacketConn, pc.offset) })
	}
	return <-broke
}

// end stops the rule and waits until it is gone.
func (r *rule) end() {
	r.stopOnce.Do(func() { close(r.stop) })
	<-r.gone
}

// discard ends a rule that never ran.
func (r *rule) discard() {
	r.takeOpen().close()
	close(r.gone)
}

func (r *rule) name() string { return r.spec.Direction.Flag() + " " + r.spec.String() }

// failed records an error for status. It logs the error if it differs from the last one.
func (r *rule) failed(err error, what string) {
	if err == nil {
		return
	}
	r.mu.Lock()
	isNew := r.lastErr == nil || r.lastErr.Error() != err.Error()
	r.lastErr, r.errAt = err, time.Now()
	r.mu.Unlock()
	if isNew {
		r.cfg.Logger.Warn(what, "rule", r.name(), "err", err)
	}
}

func (r *rule) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Direction: r.spec.Direction.String(), Spec: r.spec.String(), Listening: append([]string{}, r.listens...),
		Active: int(r.active.Load()), Total: r.total.Load(), Refused: r.refused.Load(),
		Sent: r.sent.Load(), Received: r.received.Load(), ErrorAt: r.errAt,
		Down: r.turns.skipped(time.Now()),
	}
	if r.lastErr != nil {
		s.LastError = r.lastErr.Error()
	}
	return s
}

// admit counts a new connection or client, unless the rule or the client has reached its limit.
// The caller calls leave at its end.
func (r *rule) admit(max int, cost int64, what string, from netip.Addr) bool {
	full := ""
	switch {
	case r.active.Add(1) > int64(max):
		full = fmt.Sprintf("the limit of %d %s is reached", max, what)
	case !r.shares.take(from, max):
		full = fmt.Sprintf("%v has %d %s, the limit for one address", from, share(max), what)
	case !r.cfg.Budget.Take(cost):
		r.shares.giveBack(from)
		full = "the memory limit is reached"
	default:
		r.total.Add(1)
		return true
	}
	r.active.Add(-1)
	r.refused.Add(1)
	r.failed(mesh.Errorf(mesh.Exhausted, "forward: %s: %s; new ones are refused", r.name(), full), "forward: limit reached")
	return false
}

func (r *rule) leave(cost int64, from netip.Addr) {
	r.cfg.Budget.Give(cost)
	r.shares.giveBack(from)
	r.active.Add(-1)
}
