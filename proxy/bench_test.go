package proxy

import (
	"io"
	"net"
	"testing"
)

// BenchmarkConnect opens a tunnel, exchanges a byte and closes.
func BenchmarkConnect(b *testing.B) {
	m := newMesh()
	m.server(b, "echo:7", echo)
	p := run(b, m, func(c *Config) { c.Logger = nil })
	for _, name := range []string{"SOCKS5", "HTTP"} {
		reply := map[string]int{"SOCKS5": 12, "HTTP": len("HTTP/1.1 200 Connection established\r\n\r\n")}[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, reply+1)
			for b.Loop() {
				c, err := net.Dial("tcp", p.addr)
				if err != nil {
					b.Fatal(err)
				}
				io.WriteString(c, asks[name]("echo")+"x")
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}
