package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// halfCloseEveryWay sends 64 MiB, ends its side, and must then get them all back.
// Port 9010 of the laptop is a forward to c1's port 10, and so is node1's port 10.
func halfCloseEveryWay(t *testing.T, w *world, laptop *node) {
	const size = 64 << 20
	node1 := laptop.addressOf("node1")
	want := patternSum(size)
	boomerang := func(way, target string) []string {
		return []string{"env", "NEXD_E2E_HELPER=1", bin("helper"), "boomerang", way, laptop.proxy, target, fmt.Sprint(size)}
	}
	nc := fmt.Sprintf("NEXD_E2E_HELPER=1 %s pattern %d | %s nc --state-dir=%s 172.24.0.10 10 | sha256sum", bin("helper"), size, bin("nexd"), laptop.state)
	for _, way := range []struct {
		name string
		args []string
	}{
		{"SOCKS5", boomerang("socks5", "172.24.0.10:10")},
		{"CONNECT", boomerang("connect", "172.24.0.10:10")},
		{"-L", boomerang("127.0.0.1:9010", "")},
		{"-R", boomerang("socks5", node1+":10")},
		{"nc", []string{"sh", "-c", nc}},
	} {
		t.Run(way.name, func(t *testing.T) {
			start := time.Now()
			w.says(t, stockClient{way.name, want, way.args})
			t.Logf("64 MiB there and back in %v", time.Since(start))
		})
	}
}

// boomerang sends n bytes, ends its side and prints the hash of what comes back.
func boomerang(way, proxy, target, n string) error {
	size, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return err
	}
	c, err := dialWay(way, proxy, target)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(c, pattern(size)); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, c); err != nil {
		return err
	}
	fmt.Println(hex.EncodeToString(h.Sum(nil)))
	return nil
}

// returnAfterEOF sends back all it got, but not before the client has ended its
// side.
func returnAfterEOF(c net.Conn) {
	var all bytes.Buffer
	if _, err := all.ReadFrom(c); err == nil {
		all.WriteTo(c)
	}
}

// printPattern writes n bytes to standard output.
func printPattern(n string) error {
	size, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, pattern(size))
	return err
}
