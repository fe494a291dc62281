package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// marker is in every page of a container; no capture between nodes may contain it.
const marker = "MARKER-of-a-container-page"

// helper runs a role of the test binary inside a namespace.
//
// container is the program in a container. It has a web server on :80, an echo server on
// TCP and UDP :7, a hasher and an echo server that answer after a half-close on :9 and
// :10, and a WebSocket echo at :80/ws.
func helper(args []string) error {
	switch args[0] {
	case "boomerang":
		return boomerang(args[1], args[2], args[3], args[4])
	case "pattern":
		return printPattern(args[1])
	case "websockets":
		return idleWebSockets(args[1], args[2], args[3], args[4:])
	case "rude":
		return rude(args[1], args[2], args[3])
	case "git-http":
		return serveGit(args[1])
	case "dns":
		return serveDNS()
	case "without-sendmmsg":
		return withoutSendmmsg(args[1:])
	case "idle":
		return idle(args[1], args[2], args[3])
	case "crowd":
		return crowd(args[1], args[2], args[3])
	case "sniff":
		return sniff(args[1], args[2])
	case "hold":
		return hold(args[1])
	case "html-page":
		return http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<!doctype html><title>It works</title>")
		}))
	case "wireguard":
		return stock(args[1])
	case "flow":
		return flowing(args[1], args[2])
	case "connect-proxy":
		return serveConnect(args[1])
	case "attack":
		return attack(args[1], args[2:])
	case "udp":
		return askUDP(args[1], args[2])
	case "udp-sizes":
		return askSizes(args[1], args[2:])
	case "churn":
		return churn(args[1], args[2], args[3:])
	case "hold-all":
		return holdAll(args[1], args[2])
	case "syn-flood":
		return synFlood(args[1], args[2], args[3], args[4])
	case "many-servers":
		return manyServers(args[1], args[2])
	}
	return container(args[0])
}

func container(name string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s from %s\n", marker, name, r.RemoteAddr)
	})
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.FormValue("n"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		io.Copy(w, pattern(n))
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %d\n", hex.EncodeToString(h.Sum(nil)), n)
	})
	mux.Handle("/ws", echoWebSocket())
	errs := make(chan error, 5)
	for port, serve := range map[string]func(net.Listener) error{
		":80": func(ln net.Listener) error { return http.Serve(ln, mux) },
		":7":  func(ln net.Listener) error { return serveTCP(ln, echo) },
		":9":  func(ln net.Listener) error { return serveTCP(ln, sumAfterEOF) },
		":10": func(ln net.Listener) error { return serveTCP(ln, returnAfterEOF) },
	} {
		ln, err := net.Listen("tcp", port)
		if err != nil {
			return err
		}
		go func() { errs <- serve(ln) }()
	}
	pc, err := net.ListenPacket("udp", ":7")
	if err != nil {
		return err
	}
	go func() { errs <- echoUDP(pc) }()
	fmt.Println("serves") // serveContainer waits for it
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case err := <-errs:
		return err
	case <-stop:
		return nil
	}
}

func serveTCP(ln net.Listener, serve func(net.Conn)) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() { defer c.Close(); serve(c) }()
	}
}

// echo copies with a loop, because io.Copy would use a pipe with two more descriptors per
// connection.
func echo(c net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// sumAfterEOF answers only after the client's half-close. A proxy that closes both
// directions at the first EOF loses the answer.
func sumAfterEOF(c net.Conn) {
	h := sha256.New()
	if _, err := io.Copy(h, c); err == nil {
		fmt.Fprintln(c, hex.EncodeToString(h.Sum(nil)))
	}
}

func echoUDP(pc net.PacketConn) error {
	buf := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return err
		}
		pc.WriteTo(buf[:n], from)
	}
}

// pattern returns n bytes without repetition, the same in each run.
func pattern(n int64) io.Reader { return &patternReader{left: n} }

type patternReader struct {
	left int64
	x    uint64
}

func (p *patternReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range n {
		p.x = p.x*6364136223846793005 + 1442695040888963407
		b[i] = byte(p.x >> 56)
	}
	p.left -= int64(n)
	return n, nil
}

func patternSum(n int64) string {
	h := sha256.New()
	io.Copy(h, pattern(n))
	return hex.EncodeToString(h.Sum(nil))
}

// socksRequest is a client's complete request to a SOCKS5 proxy without passwords for an
// IPv4 target.
func socksRequest(target string) []byte {
	addr := netip.MustParseAddrPort(target)
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, addr.Addr().AsSlice()...)
	return append(request, byte(addr.Port()>>8), byte(addr.Port()))
}

// askUDP sends a datagram to addr and prints the answer or the error.
func askUDP(addr, text string) error {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	b := make([]byte, 65535)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", b[:n])
	return nil
}
