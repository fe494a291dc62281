package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/sealed"
)

func itoa(n int) string { return strconv.Itoa(n) }

// capture records all packets on the wan.
type capture struct {
	l    *lab
	file string
	cmd  *exec.Cmd
	said bytes.Buffer // its standard error; read it only after the end
}

func (l *lab) capture() *capture {
	l.t.Helper()
	c := &capture{l: l, file: filepath.Join(l.dir, "wan.pcap")}
	c.cmd = exec.Command("ip", "netns", "exec", l.prefix+"wan", bin("helper"), "sniff", "br0", c.file)
	c.cmd.Env = append(os.Environ(), "NEXD_E2E_HELPER=1")
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.cmd.Process.Kill(); c.cmd.Wait() })
	eventually.Within(l.t, 10*time.Second, "the capture runs", func() bool {
		info, err := os.Stat(c.file)
		return err == nil && info.Size() >= 24
	})
	return c
}

// read ends the capture.
func (c *capture) read(t *testing.T) []byte {
	t.Helper()
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.cmd.Wait()
	b, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// soFar returns the packets captured so far.
func (c *capture) soFar(t *testing.T) [][]byte {
	t.Helper()
	b, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	return frames(t, b)
}

// end ends the capture and returns its packets.
func (c *capture) end(t *testing.T) [][]byte {
	t.Helper()
	return frames(t, c.read(t))
}

// check ends the capture and checks every packet: UDP must look like WireGuard, TCP must
// be with the service, and no packet may contain the marker.
func (c *capture) check(t *testing.T) {
	t.Helper()
	b := c.read(t)
	if bytes.Contains(b, []byte(marker)) || bytes.Contains(b, []byte("GET /")) {
		t.Error("the page can be read on the wire")
	}
	seen := map[string]int{}
	for _, frame := range frames(t, b) {
		seen[classify(frame)]++
	}
	if seen["wireguard"] < 20 || seen["tls"] == 0 {
		t.Errorf("the capture shows %v; where is the traffic? the capture said:\n%s", seen, &c.said)
	}
	for kind, n := range seen {
		if kind != "wireguard" && kind != "probe" && kind != "tls" && kind != "neighbour" {
			t.Errorf("%d packets are %s", n, kind)
		}
	}
}

// frames splits a little-endian pcap file.
func frames(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 0xa1b2c3d4 {
		t.Fatal("not a pcap file")
	}
	for b = b[24:]; len(b) >= 16; {
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < 16+n {
			break
		}
		out = append(out, b[16:16+n])
		b = b[16+n:]
	}
	return out
}

// classify returns the kind of an Ethernet frame.
func classify(f []byte) string {
	if len(f) < 14 {
		return "short"
	}
	var proto byte
	var l4 []byte
	switch p := f[14:]; binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		return "neighbour"
	case 0x0800:
		if len(p) < 20 {
			return "short"
		}
		if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return "fragment"
		}
		proto, l4 = p[9], p[int(p[0]&15)*4:]
	case 0x86dd:
		if len(p) < 40 {
			return "short"
		}
		proto, l4 = p[6], p[40:]
		if proto == 0 || proto == 58 {
			return "neighbour" // MLD, neighbour and router discovery
		}
	default:
		return "other ethertype"
	}
	switch {
	case proto == 1:
		return "icmp"
	case proto == 2:
		return "neighbour" // IGMP, the kernel's, as MLD is
	case proto == 6 && len(l4) >= 4 && (binary.BigEndian.Uint16(l4) == 8443 || binary.BigEndian.Uint16(l4[2:]) == 8443):
		return "tls"
	case proto == 17 && len(l4) >= 12 && l4[8] >= 1 && l4[8] <= 4 && l4[9] == 0 && l4[10] == 0 && l4[11] == 0:
		return "wireguard"
	}
	if proto == 17 && len(l4) >= 16 && sealed.IsCall(l4[8:]) {
		return "probe"
	}
	return "protocol " + itoa(int(proto))
}
