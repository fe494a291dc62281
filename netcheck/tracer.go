package netcheck

import (
	"crypto/tls"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// tracer measures the steps of a first connection. Attempts over IPv4 and IPv6 may run
// concurrently; the first success counts.
type tracer struct {
	mu                sync.Mutex
	dns, connect, tls step
	tried             []netip.Addr
}

type step struct {
	from time.Time
	took time.Duration // 0 = not ended, or failed
}

func (t *tracer) begin(s *step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.from.IsZero() {
		s.from = time.Now()
	}
}

func (t *tracer) end(s *step, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && s.took == 0 && !s.from.IsZero() {
		s.took = time.Since(s.from)
	}
}

func (t *tracer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { t.begin(&t.dns) },
		DNSDone:  func(i httptrace.DNSDoneInfo) { t.end(&t.dns, i.Err) },
		ConnectStart: func(_, at string) {
			t.begin(&t.connect)
			t.try(at)
		},
		ConnectDone:       func(_, _ string, err error) { t.end(&t.connect, err) },
		TLSHandshakeStart: func() { t.begin(&t.tls) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { t.end(&t.tls, err) },
	}
}

func (t *tracer) try(at string) {
	to, err := netip.ParseAddrPort(at)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried = append(t.tried, to.Addr().Unmap())
}

// addresses returns the addresses that packets were sent to.
func (t *tracer) addresses() []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.tried)
}

// took returns the durations of the steps in milliseconds.
func (t *tracer) took() (dns, connect, tls float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return ms(t.dns.took), ms(t.connect.took), ms(t.tls.took)
}
