package splice_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/internal/splice"
)

// A server on a Unix socket that answers and closes has not reset anything,
// although nothing can be written to it any more.
func TestUnixPeerThatClosesIsNoReset(t *testing.T) {
	leak.Check(t)
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	client, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	a, err := front.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b, err := net.Dial("unix", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "answer")
	s.Close()
	done := make(chan struct{})
	go func() { defer close(done); splice.Options{}.Pipe(context.Background(), a, b) }()
	client.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v; want the answer and its end", got, err)
	}
	client.Close()
	<-done
}
