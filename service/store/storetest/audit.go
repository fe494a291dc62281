package storetest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/service/store"
)

func audits(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	from := netip.MustParseAddr("192.0.2.9")
	ctx := store.WithActor(t.Context(), store.Actor{UserID: "u", Name: "ada@example.com", Via: "token", Token: "t", From: from})
	node := store.WithActor(t.Context(), store.Actor{Via: "node", From: from})
	second := func() { pass(time.Second) }

	second()
	k, secret, err := w.CreateKey(ctx, w.org.ID, store.KeyParams{Description: "ci"})
	wantOK(t, "CreateKey", err)
	second()
	key := newKey(t)
	r, err := w.Register(node, store.Registration{Key: key, RegistrationKey: secret, Hostname: "lap", Prefixes: parse("10.1.0.0/16")})
	wantOK(t, "Register", err)
	second()
	_, err = w.Register(node, store.Registration{Key: key, Hostname: "lap", Prefixes: parse("10.1.0.0/16")}) // changes nothing
	wantOK(t, "Register again", err)
	second()
	wantOK(t, "SetAdvertised", w.SetAdvertised(node, w.org.ID, r.Node.ID, nil))
	second()
	_, err = w.ReleasePrefix(ctx, w.org.ID, parse("10.1.0.0/16")[0], "")
	wantOK(t, "ReleasePrefix", err)
	second()
	_, err = w.RevokeKey(ctx, w.org.ID, k.ID)
	wantOK(t, "RevokeKey", err)
	second()
	_, err = w.RevokeKey(ctx, w.org.ID, k.ID) // changes nothing
	wantOK(t, "RevokeKey", err)
	second()
	_, err = w.RemoveNode(ctx, w.org.ID, string(r.Node.ID))
	wantOK(t, "RemoveNode", err)

	es, err := w.Audit(t.Context(), w.org.ID, "", 100)
	wantOK(t, "Audit", err)
	var got []string
	for _, e := range es {
		got = append(got, e.Actor.Name+" "+e.Action)
		if strings.Contains(e.Before+e.After+e.Target, secret) {
			t.Errorf("an audit row shows a secret: %+v", e)
		}
	}
	want := []string{"ada@example.com node.remove", "ada@example.com key.revoke", "ada@example.com prefix.release", "node lap prefix.advertise",
		"node lap prefix.advertise", "node lap node.register", "ada@example.com key.create", "service key.create", "service org.create"}
	// What happened in one instant is in no order.
	sorted := func(s []string) string {
		s = append([]string(nil), s...)
		for _, pair := range [][2]int{{3, 3}, {4, 5}, {7, 8}} {
			if i, j := pair[0], pair[1]; j < len(s) && s[i] < s[j] {
				s[i], s[j] = s[j], s[i]
			}
		}
		return strings.Join(s, "\n")
	}
	if sorted(got) != sorted(want) {
		t.Errorf("audit\n%s\nwant\n%s", sorted(got), sorted(want))
	}
	first := es[0]
	if first.Actor.From != from || first.Actor.Token != "t" || first.Actor.Via != "token" || first.Target != "lap" || !strings.Contains(first.Before, key.String()) || first.Org != w.org.ID {
		t.Errorf("the entry is %+v", first)
	}
	page, err := w.Audit(t.Context(), w.org.ID, es[2].ID, 2)
	if err != nil || len(page) != 2 || page[0].ID != es[3].ID {
		t.Errorf("the page behind %s is %+v, %v", es[2].ID, page, err)
	}
	if es, err := w.Audit(t.Context(), w.second("acme").org.ID, "", 10); err != nil || len(es) != 2 {
		t.Errorf("another organization's audit is %+v, %v", es, err)
	}
}
