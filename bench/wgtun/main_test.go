//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	o, err := parse([]string{"-address=100.64.0.2", "-route=172.24.0.0/24", "-dev=wg7"}, io.Discard)
	if err != nil || o.mtu != 1420 {
		t.Fatalf("%+v, %v", o, err)
	}
	want := "[[addr add 100.64.0.2 dev wg7] [link set wg7 up] [route add 172.24.0.0/24 dev wg7]]"
	if got := fmt.Sprint(o.commands()); got != want {
		t.Errorf("commands %s, want %s", got, want)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"-address=100.64.0.2"}, {"-route=10.0.0.0/8"}, {"-address=x", "-route=10.0.0.0/8"}, {"-nope"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%q ran", args)
		}
	}
}
