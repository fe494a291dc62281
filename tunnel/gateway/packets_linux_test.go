package gateway

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sniff opens a socket that sees the packets of a node's eth0 from IP on.
func (n *node) sniff(t *testing.T) (read func() []byte) {
	t.Helper()
	fd := -1
	var err error
	n.in(func() {
		const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all&0xffff); err != nil {
			return
		}
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 300_000})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	buf := make([]byte, 1<<16)
	return func() []byte {
		k, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil
		}
		return buf[:k]
	}
}

// synSize is the segment size of the first SYN that arrives while call runs.
func synSize(t *testing.T, at *node, call func()) int {
	t.Helper()
	read := at.sniff(t)
	call()
	for {
		p := read()
		if p == nil {
			return 0
		}
		if size := sizeInSYN(p); size != 0 {
			return size
		}
	}
}

// sizeInSYN is the segment size option of a SYN without ACK, 0 for anything else.
func sizeInSYN(p []byte) int {
	const tcp = 6
	var seg []byte
	switch {
	case len(p) > 40 && p[0]>>4 == 4 && p[9] == tcp:
		seg = p[int(p[0]&15)*4:]
	case len(p) > 60 && p[0]>>4 == 6 && p[6] == tcp:
		seg = p[40:]
	}
	if len(seg) < 20 || seg[13]&0x12 != 0x02 {
		return 0
	}
	for o := seg[20:min(len(seg), int(seg[12]>>4)*4)]; len(o) > 3; {
		switch o[0] {
		case 1:
			o = o[1:]
		case 2:
			return int(binary.BigEndian.Uint16(o[2:]))
		default:
			o = o[max(int(o[1]), 2):]
		}
	}
	return 0
}

// talk connects two nodes and gives a func that sends a word there and back.
func (n *node) talk(t *testing.T, server *node, at, to string) func(string) {
	t.Helper()
	var ln net.Listener
	var err error
	server.in(func() { ln, err = net.Listen("tcp", at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		if c, err := ln.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	n.in(func() { c, err = net.DialTimeout("tcp", to, 3*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(word string) {
		t.Helper()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, len(word))
		if _, err := io.WriteString(c, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != word {
			t.Fatalf("%q came back as %q: %v", word, buf, err)
		}
	}
}
