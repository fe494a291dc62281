package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/websocket"
)

// idleWebSockets keeps an idle WebSocket to a container for each way: socks5, connect, or an
// address to dial.
func idleWebSockets(proxy, target, idle string, ways []string) error {
	quiet, err := time.ParseDuration(idle)
	if err != nil {
		return err
	}
	sockets := map[string]*websocket.Conn{}
	for _, way := range ways {
		c, err := dialWay(way, proxy, target)
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		config, err := websocket.NewConfig("ws://"+target+"/ws", "http://"+target)
		if err != nil {
			return err
		}
		if sockets[way], err = websocket.NewClient(config, c); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	for _, say := range []string{"hello", "still there"} {
		for way, ws := range sockets {
			var heard string
			ws.SetDeadline(time.Now().Add(20 * time.Second))
			if err := websocket.Message.Send(ws, say); err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
			if err := websocket.Message.Receive(ws, &heard); err != nil || heard != say {
				return fmt.Errorf("%s: heard %q, %w", way, heard, err)
			}
			ws.SetDeadline(time.Time{})
		}
		if say == "hello" {
			fmt.Println("open")
			time.Sleep(quiet)
		}
	}
	fmt.Println("alive", len(sockets))
	return nil
}

func echoWebSocket() http.Handler {
	return websocket.Server{Handler: func(ws *websocket.Conn) { io.Copy(ws, ws) }}
}

// dialWay opens a connection to target: through a proxy with socks5 or connect, or through
// an address that leads to the target.
func dialWay(way, proxy, target string) (net.Conn, error) {
	first := way
	if way == "socks5" || way == "connect" {
		first = proxy
	}
	c, err := net.DialTimeout("tcp", first, 10*time.Second)
	if err != nil || first == way {
		return c, err
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	defer c.SetDeadline(time.Time{})
	if way == "socks5" {
		return c, socksConnect(c, target)
	}
	return c, httpConnect(c, target)
}

// httpConnect requests a tunnel. The target sends only replies, so the reader cannot lose
// data.
func httpConnect(c net.Conn, target string) error {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target}
	if err := r.Write(c); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), r)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the proxy says %s", res.Status)
	}
	return err
}

// socksConnect asks a SOCKS5 proxy for an IPv4 target.
func socksConnect(c net.Conn, target string) error {
	if _, err := c.Write(socksRequest(target)); err != nil {
		return err
	}
	var answer [2 + 10]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[3] != 0 {
		return fmt.Errorf("the proxy answers % x", answer)
	}
	return nil
}
