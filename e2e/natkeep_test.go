package e2e

import (
	"context"
	"sync"
	"testing"
)

// keepSites are boxes that only masquerade, like a host of containers or virtual machines:
// they record unsolicited packets as connections of their own. Each is behind a provider's
// router, so there is an internet between two boxes.
var keepSites = []site{
	far("keeping", "keep", 1, masquerade),
	far("keeping, double", "kept", 2, masquerade),
	far("port-restricted", "drop", 1, ownNothing+masquerade),
}

// far is a site with boxes in a row behind a router.
func far(name, tag string, boxes int, rules string) site {
	return site{name, tag, false, true, func(g *natGrid, tag string, n int) place {
		p := place{ns: tag, boxes: []string{"nat-" + tag}}
		p.at = g.routed(p.boxes[0], "isp-"+tag, n)
		g.box("isp-"+tag, "")
		g.box(p.boxes[0], rules)
		if inner := "in-" + tag; boxes == 2 {
			p.boxes = append(p.boxes, inner)
			g.container(inner, p.boxes[0], "10.8.0.1/24", "10.8.0.2/24")
			g.box(inner, rules)
		}
		g.container(tag, p.boxes[len(p.boxes)-1], "10.1.0.1/24", "10.1.0.10/24")
		return p
	}}
}

// A box that records early packets must not lead to the relay.
func TestBoxesThatKeepWhatComesUnasked(t *testing.T) {
	t.Parallel()
	g, pairs := newNATGrid(t, keepSites)
	var mu sync.Mutex
	walk(pairs, func(p pair) {
		c := &crossing{pair: p}
		ctx, cancel := context.WithTimeout(context.Background(), 2*gridPatience)
		defer cancel()
		g.firstPackets(ctx, c)
		g.inTheEnd(ctx, c, p.from, p.to)
		g.inTheEnd(ctx, c, p.to, p.from)
		mu.Lock()
		defer mu.Unlock()
		way, took := c.way()
		t.Logf("%v: %s after %v", p, way, took)
		if way != "direct" {
			c.errorf("not direct within %v", pathPatience)
		}
		for _, w := range c.wrong {
			t.Errorf("%v: %s", p, w)
		}
	})
}
