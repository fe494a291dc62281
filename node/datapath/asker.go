package datapath

import (
	"maps"
	"net"
	"sync"
	"time"
)

// Times of asker.
const (
	askAfter = 4 * time.Second  // of silence
	askUntil = 15 * time.Second // after the last bytes; then the keepalive is enough
	askTick  = 3 * time.Second
	askRest  = 8 * time.Second // between looks while no connection moves bytes
)

// asker asks the other sides of the kernel's connections that fell silent after their last bytes
// whether they still know them, as package netstack does for its own. A node that was killed and
// started again answers with a reset. A question is a keepalive ahead of its time. While there are no
// connections, no timer runs.
type asker struct {
	mu     sync.Mutex            // guards what follows
	conns  map[*net.TCPConn]bool // whether the keepalive is to be set back
	timer  *time.Timer           // nil = does not run
	closed bool
}

// watch takes a connection until it is closed.
func (a *asker) watch(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok || !canAsk {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	if a.conns == nil {
		a.conns = map[*net.TCPConn]bool{}
	}
	a.conns[t] = false
	if a.timer == nil {
		a.timer = time.AfterFunc(askTick, a.tick)
	}
}

func (a *asker) tick() {
	a.mu.Lock()
	conns := maps.Clone(a.conns)
	a.mu.Unlock()
	next, gone := askRest, []*net.TCPConn(nil)
	for c, hastily := range conns {
		st := look(c, hastily)
		if st.gone {
			gone = append(gone, c)
		}
		if conns[c] = st.asked; st.moved || st.asked {
			next = askTick
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	maps.Copy(a.conns, conns)
	for _, c := range gone {
		delete(a.conns, c)
	}
	if len(a.conns) == 0 {
		a.conns, a.timer = nil, nil
		return
	}
	a.timer.Reset(next)
}

func (a *asker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed, a.conns = true, nil; a.timer != nil {
		a.timer.Stop()
	}
}

// looked is what a look at a connection showed and did.
type looked struct {
	gone  bool // closed
	moved bool // bytes moved a moment ago
	asked bool // the keepalive was hastened
}

// asking is a listener whose connections are watched.
type asking struct {
	net.Listener
	a *asker
}

func (l asking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.a.watch(c)
	}
	return c, err
}
