package archtest

import "testing"

// Limits of size. What passes one is split where jobs part, or has a reason: a package
// in its doc.go, a type below.
const (
	maxLines   = 2000 // of a package, without tests
	maxFields  = 20   // of a struct
	maxMethods = 8    // of an interface
)

func TestPackagesAreSmallOrSayWhyNot(t *testing.T) {
	for _, f := range largePackages(theSources(t)) {
		t.Errorf("%s: %s", f.where, f.says)
	}
}

// wide are types that are as wide as what they describe, and the reason.
var wide = map[string]string{}

func TestTypesAreNarrow(t *testing.T) {
	check(t, "wide", wideTypes(theSources(t)), wide)
}

// sleeping are the tests that must sleep, and the reason.
var sleeping = map[string]string{
	"control.TestSlowHandlerIsNotSilence":                  "the handler is slow: that is what the test is about",
	"e2e.attack":                                           "sends at a steady rate",
	"e2e.idleWebSockets":                                   "the time without traffic is what the test is about",
	"internal/datagram.TestIdleTimer":                      "in a bubble: the table's functions run inside of synctest.Test",
	"netcheck.config":                                      "in a bubble: a fake of the service that takes its time",
	"netstack.TestAShortConnectionTakesEightPackets":       "what is delayed in real time must have been sent, and nothing shows that it was",
	"netstack.TestConnectionsGoOnAfterAnOutage":            "the length of the outage is what the test is about",
	"netstack.TestConnectionsCatchUpAfterAnOutage":         "likewise",
	"netstack.deliver":                                     "the delay of a wire",
	"proxy.FuzzHandshake":                                  "gives the proxy a chance to answer; there may be nothing to wait for",
	"proxy.TestNothingIsSentTwice":                         "each round meets a race at another moment",
	"service.TestThousandWatchers":                         "measures memory once the service has nothing left to send",
	"service/relayserver.TestDataGoesByUDPAfterARest":      "the rest is what it tests: trust in UDP ends with time",
	"tunnel/underlay.TestAnAnswerFollowsThePeerToTheRelay": "an answer must become old, with real sockets",
}

func TestTestsDoNotSleep(t *testing.T) {
	check(t, "sleeping", sleeps(theSources(t)), sleeping)
}
