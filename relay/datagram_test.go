package relay_test

import (
	"bytes"
	"testing"

	"nexd/mesh"
	"nexd/relay"
)

func TestDatagramsOpenOnceAndInAnyOrder(t *testing.T) {
	id, key := relay.SessionID{1, 2}, [32]byte{3}
	s, o := relay.NewSealer(id, key), relay.NewOpener(key)
	var sent [][]byte
	for i := range 3000 {
		sent = append(sent, s.Seal(nil, relay.AppendData(nil, mesh.Key{byte(i)}, []byte("packet"))))
	}
	open := func(i int) (newest bool, err error) {
		frames, newest, err := o.Open(sent[i])
		if err == nil {
			_, body, _, _ := relay.NextFrame(frames)
			if k, _, _ := relay.ParseData(body); k[0] != byte(i) {
				t.Errorf("datagram %d says %d", i, k[0])
			}
		}
		return newest, err
	}
	for _, tt := range []struct {
		i         int
		ok, newer bool
	}{
		{0, true, true}, {0, false, false}, {5, true, true}, {3, true, false}, {3, false, false}, {5, false, false},
		{2500, true, true}, {4, false, false}, {600, true, false}, {600, false, false}, {2500, false, false}, {2999, true, true}, {451, false, false}, {952, true, false},
	} {
		if newest, err := open(tt.i); (err == nil) != tt.ok || newest != tt.newer {
			t.Errorf("datagram %d: newest %v, %v; want %v, %v", tt.i, newest, err, tt.newer, tt.ok)
		}
	}
	if got, ok := relay.DatagramSession(sent[0]); !ok || got != id {
		t.Errorf("session %x, %v", got, ok)
	}
}

func TestEveryByteOfADatagramCounts(t *testing.T) {
	key := [32]byte{3}
	d := relay.NewSealer(relay.SessionID{1}, key).Seal(nil, relay.AppendUDPPing(nil, relay.UDPPing{Seq: 7, Good: true}))
	for i := range d {
		d[i] ^= 1
		if _, _, err := relay.NewOpener(key).Open(d); err == nil {
			t.Fatalf("byte %d changed: taken", i)
		}
		d[i] ^= 1
	}
	if _, _, err := relay.NewOpener([32]byte{4}).Open(d); err == nil {
		t.Error("taken with another key")
	}
	frames, _, err := relay.NewOpener(key).Open(d)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _, err := relay.NextFrame(frames)
	if p, ok := relay.ParseUDPPing(body); err != nil || !ok || p != (relay.UDPPing{Seq: 7, Good: true}) {
		t.Errorf("%+v, %v, %v", p, ok, err)
	}
}

func FuzzOpen(f *testing.F) {
	key := [32]byte{3}
	f.Add(relay.NewSealer(relay.SessionID{1}, key).Seal(nil, relay.AppendData(nil, mesh.Key{1}, []byte("packet"))))
	f.Add([]byte("\x9enxR"))
	f.Fuzz(func(t *testing.T, d []byte) {
		o := relay.NewOpener(key)
		frames, _, err := o.Open(bytes.Clone(d))
		if err != nil {
			return
		}
		relay.EachFrame(frames, func(_ relay.Type, body []byte) error { relay.ParseUDPPing(body); return nil })
		if _, _, err := o.Open(d); err == nil {
			t.Error("opened twice")
		}
	})
}
