package relay

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
)

// `nexd status` shows why there is no connection: the address and the reason, once.
func TestARelayThatIsNotThereIsNamedOnce(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	ln.Close()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	c, err := New(Config{
		Key: key, Receive: func(mesh.Key, ...[]byte) {}, Changed: func(bool) { changed++ },
		Token: func(context.Context) (Token, error) {
			return Token{Text: "t", URL: "http://" + at + "/v1/relay", Expires: time.Now().Add(time.Hour)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	want, why := "relay: http://"+at+"/v1/relay: dial tcp "+at+": ", ""
	eventually.Shown(t, eventually.Patience, func() string { return fmt.Sprintf("why is %q…; it is %q", want, why) }, func() bool {
		_, why, _ = c.Connected()
		return strings.HasPrefix(why, want)
	})
	cancel()
	if err := <-done; err != nil || changed != 0 {
		t.Errorf("%v, %d changes", err, changed)
	}
}
