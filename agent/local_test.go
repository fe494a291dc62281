package agent

import (
	"fmt"
	"net"
	"testing"

	"nexd/agent/localapi"
	"nexd/e2e/meshtest"
	"nexd/internal/leak"
	"nexd/internal/sealed"
)

// What strangers send is counted in the status, by reason.
func TestStatusCountsWhatWasDropped(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	a := run(t, joinConfig(t, s, "a"))
	st := a.until("joined", func(s localapi.Status) bool { return s.State == "running" })
	if st.Dropped != (localapi.Dropped{}) {
		t.Errorf("before anybody sent anything: %+v", st.Dropped)
	}
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", st.Node.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	handshake, data := make([]byte, sealed.InitiationSize), make([]byte, sealed.DataMinSize)
	handshake[0], data[0] = sealed.Initiation, sealed.Data
	for _, packet := range [][]byte{[]byte("hello"), handshake, handshake, data, data, data} {
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	want := localapi.Dropped{Malformed: 1, Handshakes: 2, UnknownSessions: 3}
	a.until("all are counted", func(s localapi.Status) bool { return s.Dropped == want })
}
