package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// handshake reads a SOCKS5 CONNECT to an IP address (RFC 1928), opens the connection and
// replies to the client.
func handshake(c io.ReadWriter, dial func(netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
	to, err := request(c)
	if err != nil {
		return nil, err
	}
	far, err := dial(to)
	code := byte(0)
	if err != nil {
		code = 5 // refused; good enough for a baseline
	}
	if _, werr := c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}); werr != nil && err == nil {
		far.Close()
		return nil, werr
	}
	return far, err
}

// request reads the greeting, picks "no authentication" and reads the request.
func request(c io.ReadWriter) (netip.AddrPort, error) {
	var b [257]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return netip.AddrPort{}, err
	}
	if b[0] != 5 {
		return netip.AddrPort{}, fmt.Errorf("SOCKS version %d", b[0])
	}
	if _, err := io.ReadFull(c, b[:b[1]]); err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := io.ReadFull(c, b[:4]); err != nil {
		return netip.AddrPort{}, err
	}
	length := map[byte]int{1: 4, 4: 16}[b[3]]
	if b[1] != 1 || length == 0 {
		return netip.AddrPort{}, errors.New("only CONNECT to an IP address")
	}
	if _, err := io.ReadFull(c, b[:length+2]); err != nil {
		return netip.AddrPort{}, err
	}
	ip, _ := netip.AddrFromSlice(b[:length])
	return netip.AddrPortFrom(ip, uint16(b[length])<<8|uint16(b[length+1])), nil
}
