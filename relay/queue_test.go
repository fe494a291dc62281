package relay_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"nexd/mesh"
	"nexd/relay"
)

// numbered is a packet that contains its number.
func numbered(n, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, uint32(n))
	return p
}

// drained takes everything and returns the numbers of the packets, and the types of other frames as
// negative numbers.
func drained(t *testing.T, q *relay.Queue) (seen []int) {
	t.Helper()
	for {
		some, err := q.Take(func(m []byte) error {
			if len(m) > relay.MaxMessage {
				t.Errorf("message of %d bytes", len(m))
			}
			return relay.EachFrame(m, func(ty relay.Type, body []byte) error {
				if ty != relay.TypeData {
					seen = append(seen, -int(ty))
					return nil
				}
				_, p, err := relay.ParseData(body)
				seen = append(seen, int(binary.BigEndian.Uint32(p)))
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if !some {
			return seen
		}
	}
}

func TestQueueDropsTheOldestDataAndNothingElse(t *testing.T) {
	q := relay.NewQueue(4, nil)
	q.Push(mesh.Key{1}, numbered(1_000_000, 148), relay.Handshake)
	q.Own(relay.TypePong, make([]byte, 8))
	dropped := uint64(0)
	const all = 1000
	for i := range all {
		dropped += q.Push(mesh.Key{1}, numbered(i, 1456), relay.Data)
	}
	if size := q.Size(); size > 6*relay.MaxMessage {
		t.Errorf("%d bytes held", size)
	}
	seen := drained(t, q)
	if seen[0] != -int(relay.TypePong) || seen[1] != 1_000_000 {
		t.Errorf("first out: %v", seen[:2])
	}
	data := seen[2:]
	if int(dropped)+len(data) != all || dropped != q.Dropped() || data[len(data)-1] != all-1 || data[0] != int(dropped) {
		t.Errorf("%d dropped, %d left: %d to %d", dropped, len(data), data[0], data[len(data)-1])
	}
	if q.Size() != 0 {
		t.Errorf("an empty queue holds %d bytes", q.Size())
	}
}

func TestHandshakesHaveABoundOfTheirOwn(t *testing.T) {
	q := relay.NewQueue(4, nil)
	q.Push(mesh.Key{1}, numbered(5, 1456), relay.Data)
	for i := range 10_000 {
		q.Push(mesh.Key{1}, numbered(100+i, 148), relay.Handshake)
	}
	if size := q.Size(); size > 6*relay.MaxMessage {
		t.Errorf("%d bytes held", size)
	}
	seen := drained(t, q)
	if seen[len(seen)-1] != 5 || seen[len(seen)-2] != 10_099 {
		t.Errorf("last out: %v", seen[len(seen)-2:])
	}
}

func TestOwnFramesSayWhenNobodyReads(t *testing.T) {
	q := relay.NewQueue(1, nil)
	n := 0
	for q.Own(relay.TypePong, make([]byte, 8)) {
		if n++; n > 10_000 {
			t.Fatal("no bound")
		}
	}
	if got := len(drained(t, q)); got != n {
		t.Errorf("%d of %d came out", got, n)
	}
}

func TestPoolBoundsAllQueuesTogether(t *testing.T) {
	pool := relay.NewPool(10 * relay.MaxMessage)
	var qs []*relay.Queue
	for range 20 {
		q := relay.NewQueue(8, pool)
		for i := range 200 {
			q.Push(mesh.Key{1}, numbered(i, 1456), relay.Data)
		}
		qs = append(qs, q)
	}
	if pool.Used() > 10*relay.MaxMessage {
		t.Errorf("%d bytes used", pool.Used())
	}
	if got := drained(t, qs[0]); len(got) == 0 || got[len(got)-1] != 199 {
		t.Errorf("the first queue holds %v", got)
	}
	for _, q := range qs {
		q.Close()
	}
	if pool.Used() != 0 {
		t.Errorf("%d bytes used by nobody", pool.Used())
	}
}

func TestFinishComesLast(t *testing.T) {
	q := relay.NewQueue(4, nil)
	q.Push(mesh.Key{1}, numbered(3, 64), relay.Data)
	q.Finish(relay.TypeBye, []byte{1})
	q.Push(mesh.Key{1}, numbered(4, 64), relay.Data)
	if q.Done() {
		t.Error("done with something left")
	}
	if got := drained(t, q); len(got) != 2 || got[0] != 3 || got[1] != -int(relay.TypeBye) || !q.Done() {
		t.Errorf("came out: %v", got)
	}
}

func TestResetKeepsHandshakes(t *testing.T) {
	q := relay.NewQueue(4, nil)
	q.Own(relay.TypePing, make([]byte, 8))
	q.Push(mesh.Key{1}, numbered(3, 64), relay.Data)
	q.Push(mesh.Key{1}, numbered(4, 148), relay.Handshake)
	q.Reset()
	if got := drained(t, q); len(got) != 1 || got[0] != 4 {
		t.Errorf("came out: %v", got)
	}
}

func TestQueueFromManyGoroutines(t *testing.T) {
	q := relay.NewQueue(8, relay.NewPool(1<<20))
	var tasks sync.WaitGroup
	for range 4 {
		tasks.Go(func() {
			for i := range 2000 {
				q.Push(mesh.Key{1}, numbered(i, 1000), relay.Data)
				q.Own(relay.TypePong, make([]byte, 8))
			}
		})
	}
	stop := make(chan struct{})
	go func() { tasks.Wait(); close(stop) }()
	for {
		some, _ := q.Take(func([]byte) error { return nil })
		if some {
			continue
		}
		select {
		case <-q.Wake():
		case <-stop:
			return
		}
	}
}
