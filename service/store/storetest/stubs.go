package storetest

import "testing"

var registration, addresses, prefixes, concurrency map[string]func(*testing.T, Open)
