package arrived

import (
	"fmt"
	"testing"

	"nexd/tunnel/disco"
)

// Sender and receiver must count alike, and a report has a counter for each.
func TestClassesAreThoseOfReports(t *testing.T) {
	if Counters != disco.Counters || bounds != disco.Bounds {
		t.Errorf("%d counters up to %v, a report has %d up to %v", Counters, bounds, disco.Counters, disco.Bounds)
	}
	for size, want := range map[int][2]int{32: {0, 4}, 512: {0, 4}, 513: {1, 5}, 1232: {1, 5}, 1233: {2, 6}, 1360: {2, 6}, 1361: {3, 6}, 9000: {3, 6}} {
		if got := [2]int{Direct(size), Relayed(size)}; got != want {
			t.Errorf("%d bytes: counters %v, want %v", size, got, want)
		}
	}
}

func TestReportsAreDueOnceASecond(t *testing.T) {
	var r Received
	for now, want := range []bool{0: true, 1: false, 2: true} {
		if got := r.Due(int64(now)*Every/2 + 1); got != want {
			t.Errorf("after %d half seconds: %v", now, got)
		}
	}
}

func ExampleReceived() {
	var sent Sent
	sent.Direct([][]byte{make([]byte, 1452), make([]byte, 1452), make([]byte, 96)}, true)
	sent.Relayed([][]byte{make([]byte, 1452)})
	fmt.Println(sent.Counts())

	var received Received
	var batch Batch
	batch.Direct(1452, 1)
	batch.Relayed(1452)
	received.Add(&batch)
	fmt.Println(received.Report())
	// Output:
	// [1 0 0 2 0 0 1] 3
	// [0 0 0 1 0 0 1] 1452
}
