package splice_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"nexd/internal/splice"
)

// A client and a server that never meet talk through a splice.
func ExamplePipe() {
	client, a := net.Pipe()
	server, b := net.Pipe()
	go func() {
		buf := make([]byte, 5)
		io.ReadFull(server, buf)
		fmt.Fprintf(server, "you said %s", buf)
		server.Close()
	}()
	var heard sync.WaitGroup
	heard.Go(func() {
		io.WriteString(client, "hello")
		answer, _ := io.ReadAll(client)
		fmt.Println(string(answer))
		client.Close()
	})
	up, down, err := splice.Options{}.Pipe(context.Background(), a, b)
	heard.Wait()
	fmt.Println(up, down, err)
	// Output:
	// you said hello
	// 5 14 <nil>
}
