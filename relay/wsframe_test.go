package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// wsFrame is a WebSocket frame with a payload of n bytes.
func wsFrame(n int, masked bool) []byte {
	b := []byte{0x82, byte(n)}
	switch {
	case n > 1<<16-1:
		b = binary.BigEndian.AppendUint64([]byte{0x82, 127}, uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16([]byte{0x82, 126}, uint16(n))
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, bytes.Repeat([]byte{byte(n)}, n)...)
}

// writes records each write.
type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

func TestFramesAreWrittenWhole(t *testing.T) {
	for _, masked := range []bool{false, true} {
		var frames [][]byte
		for _, n := range []int{0, 1, 125, 126, 4096, MaxMessage, 5, MaxMessage, 40_000, 70_000, 3} {
			frames = append(frames, wsFrame(n, masked))
		}
		for _, piece := range []int{1, 7, 4096, 1 << 20} {
			var got writes
			w := &frameWriter{to: &got}
			all := bytes.Join(frames, nil)
			for rest := all; len(rest) > 0; {
				n := min(piece, len(rest))
				if m, err := w.Write(rest[:n]); m != n || err != nil {
					t.Fatalf("%d of %d, %v", m, n, err)
				}
				rest = rest[n:]
			}
			if !bytes.Equal(bytes.Join(got, nil), all) {
				t.Errorf("pieces of %d: other bytes came out", piece)
			}
			if w.buf != nil {
				t.Errorf("pieces of %d: a buffer is kept", piece)
			}
			ours := len(bytes.Join(frames[:8], nil)) // the others are longer than any of ours
			for i, at := 0, 0; at < ours && piece <= 4096; i++ {
				if wholeFrames(got[i]) != len(got[i]) {
					t.Errorf("pieces of %d: write %d is %d bytes, which are no whole frames", piece, i, len(got[i]))
				}
				at += len(got[i])
			}
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestAWriteThatFailsIsTold(t *testing.T) {
	w := &frameWriter{to: broken{}}
	f := wsFrame(8000, true)
	if _, err := w.Write(f[:4096]); err != nil {
		t.Errorf("a piece that waits: %v", err)
	}
	if _, err := w.Write(f[4096:]); err == nil {
		t.Error("the last piece: no error")
	}
}

func FuzzFrameWriter(f *testing.F) {
	f.Add(wsFrame(200, true), 3)
	f.Add(append(wsFrame(5, false), 0x82, 127, 255), 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		var got writes
		w := &frameWriter{to: &got}
		for rest := b; len(rest) > 0; {
			n := min(max(piece, 1), len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		if out := bytes.Join(got, nil); !bytes.HasPrefix(b, out) {
			t.Errorf("%x became %x", b, out)
		} else if w.buf != nil && !bytes.Equal(b[len(out):], w.buf[:w.n]) {
			t.Error("what waits is something else")
		}
	})
}
