package meshtest

import (
	"testing"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/mesh"
)

func TestServiceAnswersAgainAfterAStop(t *testing.T) {
	leak.Check(t)
	s := New(t)
	s.Relay = true
	s.Start()
	url, err := control.ParseJoinURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	regKey, err := control.ParseRegKey(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	if url, err = url.WithKey(regKey); err != nil {
		t.Fatal(err)
	}
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.NewClient(control.Config{URL: url, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if h, err := c.About(t.Context()); err != nil || !h.Relay {
		t.Errorf("About = %+v, %v", h, err)
	}
	s.Stop()
	if _, err := c.About(t.Context()); err == nil {
		t.Error("a stopped service answers")
	}
	s.Start()
	if _, err := c.About(t.Context()); err != nil {
		t.Error(err)
	}
}
