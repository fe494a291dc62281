package agent

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"

	"nexd/agent/localapi"
	"nexd/internal/leak"
	"nexd/internal/sealed"
	"nexd/tunnel/underlay"
)

// Whatever the underlay drops the status counts.
func TestStatusCountsAllThatIsDropped(t *testing.T) {
	other := []string{"Attributed", "Deferred", "Probes", "SendErrors", "ReceiveErrors"}
	all := reflect.TypeFor[underlay.Stats]()
	for i := range all.NumField() {
		var s underlay.Stats
		reflect.ValueOf(&s).Elem().Field(i).SetUint(7)
		if got := dropped(s); (got == localapi.Dropped{}) != slices.Contains(other, all.Field(i).Name) {
			t.Errorf("with %s there is %+v", all.Field(i).Name, got)
		}
	}
}

// What strangers send is counted in the status, by reason.
func TestStatusCountsWhatWasDropped(t *testing.T) {
	leak.Check(t)
	s := newTestService(t)
	s.start()
	a := run(t, s.config(t, "a"))
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
