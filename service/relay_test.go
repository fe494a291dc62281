package service_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

func withRelay(c *service.Config, _ *store.Options) {
	c.Relay = service.Relay{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the relay") }),
		UDP:     []string{":3478"}, STUN: []string{":3478", "192.0.2.1:3479"},
	}
}

func TestRelayTokenIsOfNodeAndOrganization(t *testing.T) {
	w := newWorld(t)
	r := w.start(withRelay)
	n := r.node(t)
	n.mustRegister(w.boot.KeySecret, "laptop")
	got, err := n.client.RelayToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := r.store.Meta(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := control.RelayKey(meta.Secret)
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.VerifyRelayToken(key, got.Token, time.Now())
	if err != nil || c.Node != n.key.Public() || c.Org != w.boot.Organization.ID || !c.Expires.Equal(got.Expires) || time.Until(c.Expires) > control.RelayTokenLife {
		t.Errorf("claims %+v, %v; expires %v", c, err, got.Expires)
	}
	host := "127.0.0.1"
	if !slices.Equal(got.URLs, []string{r.url.Base() + "/v1/relay"}) || !slices.Equal(got.UDP, []string{host + ":3478"}) ||
		!slices.Equal(got.STUN, []string{host + ":3478", "192.0.2.1:3479"}) {
		t.Errorf("places %+v", got)
	}
	resp, err := n.client.HTTP().Get(got.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	if b := bodyOf(t, resp); string(b) != "the relay" {
		t.Errorf("at the relay's URL: %s", b)
	}
	if err := n.leave(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.RelayToken(t.Context()); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("after leaving: %v", err)
	}
}

// The relay in the same process hears of a node that is gone, by whatever way it
// went, and of nobody else.
func TestTheRelayHearsOfARemovedNode(t *testing.T) {
	w := newWorld(t)
	type gone struct {
		org mesh.OrgID
		key mesh.Key
	}
	told := make(chan gone, 10)
	w.removed = func(org mesh.OrgID, key mesh.Key) { told <- gone{org, key} }
	r := w.start(withRelay)
	a, b, c := r.node(t), r.node(t), r.node(t)
	for i, n := range []*node{a, b, c} {
		n.mustRegister(w.boot.KeySecret, string(rune('a'+i)))
	}
	seen := a.watch(nil)
	seen.until("all three", func(m *mesh.NetworkMap) bool { return len(m.Peers) == 2 })
	if _, err := r.store.RemoveNode(t.Context(), w.boot.Organization.ID, "b"); err != nil { // as a command beside the service does
		t.Fatal(err)
	}
	if err := c.leave(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case g := <-told:
			if g.org != w.boot.Organization.ID || g.key != b.key.Public() && g.key != c.key.Public() {
				t.Errorf("told of %+v", g)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the relay was not told")
		}
	}
	seen.until("one left", func(m *mesh.NetworkMap) bool { return len(m.Peers) == 0 })
	if len(told) > 0 {
		t.Errorf("told of %+v, too", <-told)
	}
}

func TestServiceWithoutARelaySaysSo(t *testing.T) {
	w := newWorld(t)
	n := w.start().node(t)
	n.mustRegister(w.boot.KeySecret, "laptop")
	got, err := n.client.RelayToken(t.Context())
	if err != nil || got.Token != "" || len(got.URLs)+len(got.UDP)+len(got.STUN) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	resp, err := n.client.HTTP().Get(n.client.URL().Base() + control.PathRelay)
	if err != nil {
		t.Fatal(err)
	}
	if p := problemIn(t, bodyOf(t, resp)); p.Kind != "not_found" {
		t.Errorf("at the relay's path: %+v", p)
	}
}

func TestAnybodyIsToldTimeRelayAndSTUN(t *testing.T) {
	w := newWorld(t)
	got, err := w.start(withRelay).node(t).client.About(t.Context())
	if err != nil || !got.Relay || !slices.Equal(got.STUN, []string{"127.0.0.1:3478", "192.0.2.1:3479"}) || time.Since(got.Time).Abs() > time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = w.start().node(t).client.About(t.Context()); err != nil || got.Relay || len(got.STUN) != 0 {
		t.Errorf("a service without either says %+v, %v", got, err)
	}
}
