package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"nexd/internal/leak"
	"nexd/internal/program"
)

func TestMetricsShowRelayAndSTUN(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	ln.Close()
	db, keyFile := bootstrapped(t)
	ready, _ := serve(t, "--db="+db, "--stun-listen=127.0.0.1:0", "--metrics-listen="+at)
	a := register(t, strings.Fields(ready)[1], readFile(t, keyFile), "a")
	a.connect(t)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	get := func(path string) (int, string) {
		resp, err := (&http.Client{Transport: tr}).Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	code, text := get("/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, text)
	}
	for _, want := range []string{
		"\nnexd_relay_sessions 1\n", "\nnexd_relay_admitted_total 1\n", "\nnexd_relay_bytes_total 0\n", `nexd_relay_dropped_total{reason="queue"} 0`,
		`nexd_relay_dropped_total{reason="forged"} 0`, "\nnexd_stun_answered_total ", `nexd_stun_refused_total{reason="limited"} 0`, `nexd_stun_refused_total{reason="nowhere"} 0`, "\ngo_goroutines ", "\nprocess_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("elsewhere it answers %d", code)
	}
	if r := nexservice(t, "", "serve", "--db="+db, "--metrics-listen=9100"); r.code != program.ExitUsage {
		t.Errorf("a port alone: exit %d: %s", r.code, r.err)
	}
	if r := nexservice(t, "", "serve", "--db="+db, "--listen=127.0.0.1:0", "--metrics-listen="+at); r.code != program.ExitFailed || !strings.Contains(r.err, at+" is in use") {
		t.Errorf("a port in use: exit %d: %s", r.code, r.err)
	}
}
