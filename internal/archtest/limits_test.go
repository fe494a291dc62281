package archtest

import "testing"

// Limits of size. What passes one is split where jobs part, or has a reason: a package
// in its doc.go, a type below.
const (
	maxLines   = 2500 // of a package, without tests
	maxFields  = 20   // of a struct
	maxMethods = 8    // of an interface
)

func TestPackagesAreSmallOrSayWhyNot(t *testing.T) {
	check(t, "no list", largePackages(theSources(t)), nil, map[string]int{"netstack": 1})
}

// wide are types that are as wide as what they describe, and the reason.
var wide = map[string]string{
	"service/relayserver.Stats": "counters for the metrics, a field for each",
}

func TestTypesAreNarrow(t *testing.T) {
	check(t, "wide", wideTypes(theSources(t)), wide, nil)
}

// sleeping are the tests that must sleep, and the reason.
var sleeping = map[string]string{
	"service.TestDatabaseGone":                               "several polls of the hub must fail, and a failed poll shows nothing",
	"service.TestThousandWatchers":                           "measures memory once the service has nothing left to send",
	"service/relayserver.TestDataGoesByUDPAfterARest":        "the rest is what it tests: trust in UDP ends with time",
	"service/relayserver.TestDatagramsGoOnlyWhereTheyArrive": "nothing may arrive for a time, with real sockets",
}

func TestTestsDoNotSleep(t *testing.T) {
	check(t, "sleeping", sleeps(theSources(t)), sleeping, map[string]int{
		"bench": 2, "control": 1, "e2e": 40, "internal": 6, "netcheck": 1, "netstack": 25, "proxy": 6, "forward": 4, "relay": 2, "tunnel": 12,
	})
}
