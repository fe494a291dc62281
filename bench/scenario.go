//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"nexd/bench/lab"
)

// scenario is a path between the hosts, with the systems and measures for it.
type scenario struct {
	name, title string
	path        lab.Path
	systems     []string // the chosen ones; without those below, unless -systems names them
	without     []string // systems that show nothing new on this path
	measures    []string
	warm        time.Duration // after a bulk flow's start, before its window
	window      time.Duration // 0: the one from the command line
	together    bool          // all systems at once, each in namespaces of its own
}

// The measures. A scenario's list is in the order in which they run.
const (
	mStart = "start" // start to first byte, memory when fresh
	mHold  = "hold"  // 1000 idle connections
	mRTT   = "rtt"
	mDown1 = "down1"
	mUp1   = "up1"
	mDown8 = "down8"
	mUp8   = "up8"
	mLoad  = "load" // round trips while a bulk download runs
	mConn1 = "conn1"
	mConnN = "conn32"
	mUDP   = "udp"     // datagrams, by a forward and by UDP ASSOCIATE
	mIdle  = "idle10k" // 10,000 idle connections, in the first round
)

func measureNames() []string {
	return []string{mStart, mHold, mRTT, mDown1, mUp1, mDown8, mUp8, mLoad, mConn1, mConnN, mUDP, mIdle}
}

func scenarioNames() []string { return []string{"fast", "long", "loss", "small", "nouso"} }

// scenarios returns the scenarios that o selects.
func scenarios(o options) (out []scenario) {
	short := 300 * time.Millisecond
	half := o.delay / 2
	all := map[string]scenario{
		"fast": {title: "veth, MTU 1500, super-packets pass whole", measures: measureNames(), warm: short},
		"long": {title: fmt.Sprintf("%v round trip, no loss", o.delay), path: lab.Path{Delay: half, Rate: o.rate}, without: []string{"nexd-tun"},
			measures: []string{mDown1, mUp1}, warm: 2 * time.Second, window: 2 * o.window},
		"loss": {title: fmt.Sprintf("%v round trip, %.2g %% of the packets lost each way (all systems at the same time)", o.delay, 100*o.loss),
			path: lab.Path{Delay: half, Rate: o.rate, Loss: o.loss}, without: []string{"nexd-tun"},
			measures: []string{mDown1, mUp1}, warm: time.Second, window: o.lossWindow, together: true},
		"small": {without: []string{"raw", "nexd-tun"}, title: "veth, 208 KiB socket buffers for agents without privileges", path: lab.Path{SmallBuffers: true},
			measures: []string{mDown1, mUp1}, warm: short},
		"nouso": {without: []string{"nexd-tun"}, title: "veth, UDP and TCP segmentation off: only whole packets pass", path: lab.Path{NoOffload: true},
			measures: []string{mDown1, mUp1, mDown8}, warm: short},
	}
	for _, name := range o.scenarios {
		sc := all[name]
		sc.name = name
		if sc.window == 0 {
			sc.window = o.window
		}
		sc.systems = slices.DeleteFunc(slices.Clone(o.systems), func(n string) bool { return !o.named && slices.Contains(sc.without, n) })
		var chosen []string
		for _, m := range sc.measures {
			if o.wants(m) {
				chosen = append(chosen, m)
			}
		}
		sc.measures = chosen
		out = append(out, sc)
	}
	return out
}
