package service

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/hub"
)

const (
	writeLimit = 20 * time.Second // for a reader to read a piece of a stream
	writePiece = 32 << 10
	firstFrame = 10 * time.Second // for the hub to produce the first frame
)

// serveWatch is GET /v1/watch.
func (s *Service) serveWatch(w http.ResponseWriter, r *http.Request) {
	sess, err := s.session(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		writeProblem(w, s.problem(r.Context(), err))
		return
	}
	have, err := parseHave(r.URL.Query().Get("have"))
	if err != nil {
		writeProblem(w, s.problem(r.Context(), err))
		return
	}
	if r.URL.Query().Has("standby") && s.hub.Watched(sess.Org, sess.Node) {
		st := &stream{w: w, rc: http.NewResponseController(w)}
		if err := st.replaced("the other agent is still connected"); err != nil {
			s.log.Debug("stand-by not answered", "node", sess.Node, "err", err)
		}
		return
	}
	me := s.hub.Join(sess.Org, sess.Node)
	defer s.left(me)
	st := &stream{w: w, rc: http.NewResponseController(w), me: me, have: have}
	if err := s.stream(r.Context(), st); err != nil {
		if !st.begun {
			writeProblem(w, s.problem(r.Context(), err))
			return
		}
		s.log.Debug("watch ended", "node", me.Node(), "err", err)
	}
}

// left records the end of a node's watch, also for other replicas.
func (s *Service) left(w *hub.Watcher) {
	defer w.Close() // after Touch, so that the mark does not look like a sign of life
	select {
	case <-s.stopping: // shutdown marks all nodes at once
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.store.Touch(ctx, w.Org(), w.Node()); err != nil {
		s.log.Debug("last seen not noted", "node", w.Node(), "err", err)
	}
}

// parseHave reads the version of a node's map, EPOCH:REV; empty for none.
func parseHave(s string) (mesh.Version, error) {
	if s == "" {
		return mesh.Version{}, nil
	}
	epoch, rev, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(rev, 10, 64)
	if !ok || err != nil || epoch == "" || len(epoch) > 128 {
		return mesh.Version{}, mesh.Errorf(mesh.Invalid, "service: have is not of the form EPOCH:REV")
	}
	return mesh.Version{Epoch: epoch, Rev: n}, nil
}

// stream writes events to one watcher until the connection, the node or the
// service ends.
func (s *Service) stream(ctx context.Context, st *stream) error {
	keepalive := time.NewTicker(s.keepalive)
	defer keepalive.Stop()
	first := time.NewTimer(firstFrame)
	defer first.Stop()
	for {
		f, changed := st.me.Frame()
		if f != nil {
			if !f.Has(st.me.Node()) {
				return st.end(control.EventGone, "an administrator removed it, it left, or a new node of its host name with its registration key replaced it")
			}
			if v := f.Version(); st.have.Epoch == v.Epoch && st.have.Rev > v.Rev {
				s.newer.Do(func() {
					s.log.Warn("a node has a newer map than the database; if that was restored from a backup, run nexservice renew-epoch",
						"node", st.me.Node(), "rev", st.have.Rev, "database", v.Rev)
				})
			}
			if err := st.show(f); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-keepalive.C:
			if err := st.event(control.Event{Type: control.EventKeepalive}); err != nil {
				return err
			}
		case <-first.C:
			if !st.begun {
				return mesh.Errorf(mesh.Unavailable, "service: the database does not answer")
			}
		case <-st.me.Replaced():
			return st.replaced("another connection of this node was opened")
		case <-st.me.Twin():
			if !st.twin {
				st.twin = true
				s.log.Warn("two agents are running with one node's key (copied state directory?); stop one of them", "node", st.me.Node())
			}
			if err := st.event(control.Event{Type: control.EventTwin}); err != nil {
				return err
			}
		case <-s.stopping:
			return st.end(control.EventBye, "the service is shutting down")
		case <-ctx.Done():
			return nil
		}
	}
}

// stream is the answer to one watch.
type stream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	me    *hub.Watcher
	have  mesh.Version
	seen  uint64 // live sequence number
	shown bool   // the first frame was sent
	begun bool   // the header was sent
	twin  bool   // another agent with the key was there
}

// show writes what is new in a frame.
func (st *stream) show(f *hub.Frame) error {
	version, whole := f.Version(), !st.shown
	live := whole || f.Changed(st.seen) > 0
	if version == st.have && !live {
		return nil
	}
	err := st.write(func(w *bufio.Writer) error {
		switch {
		case version != st.have:
			if err := f.WriteMap(w, st.me.Node()); err != nil {
				return err
			}
		case whole:
			if err := writeEvent(w, control.Event{Type: control.EventUnchanged, Version: &version}); err != nil {
				return err
			}
		}
		if !live {
			return nil
		}
		return f.WriteLive(w, st.seen, whole)
	})
	st.have, st.seen, st.shown = version, f.Seq(), true
	return err
}

func (st *stream) event(e control.Event) error {
	return st.write(func(w *bufio.Writer) error { return writeEvent(w, e) })
}

// end writes the last event of a stream.
func (st *stream) end(t control.EventType, detail string) error {
	return st.event(control.Event{Type: t, Detail: detail})
}

// replaced ends a stream because of another watcher of the node.
func (st *stream) replaced(detail string) error {
	return st.event(control.Event{Type: control.EventReplaced, StandBy: true, Detail: detail})
}

func writeEvent(w *bufio.Writer, e control.Event) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// write runs fn on a buffered writer and flushes it to the reader, who must read every
// piece in time.
func (st *stream) write(fn func(*bufio.Writer) error) error {
	if !st.begun {
		st.begun = true
		st.w.Header().Set("Content-Type", control.TypeStream)
		st.w.Header().Set("Cache-Control", "no-store")
		st.w.Header().Set("X-Accel-Buffering", "no")
		if err := st.rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		st.w.WriteHeader(http.StatusOK)
	}
	buf := bufio.NewWriterSize(pieceWriter{st}, writePiece)
	if err := fn(buf); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := st.rc.Flush(); err != nil {
		return err
	}
	return st.deadline(time.Time{}) // with HTTP/2 the deadline would end even an idle stream
}

// deadline limits how long a write may take; the zero time means no limit.
func (st *stream) deadline(at time.Time) error {
	if err := st.rc.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// pieceWriter sets a new deadline for every piece.
type pieceWriter struct{ st *stream }

func (p pieceWriter) Write(b []byte) (int, error) {
	if err := p.st.deadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return p.st.w.Write(b)
}
