package relay_test

import (
	"fmt"

	"nexd/mesh"
	"nexd/relay"
)

func ExampleQueue() {
	q := relay.NewQueue(relay.DataChunks, nil)
	keepalive := append([]byte{4}, make([]byte, 31)...)
	q.Push(mesh.Key{1}, keepalive, relay.ClassOf(keepalive))
	q.Own(relay.TypePing, []byte("12345678"))
	for {
		some, _ := q.Take(func(message []byte) error {
			return relay.EachFrame(message, func(t relay.Type, body []byte) error {
				fmt.Println("type", t, "of", len(body), "bytes")
				return nil
			})
		})
		if !some {
			return
		}
	}
	// Output:
	// type 5 of 8 bytes
	// type 4 of 64 bytes
}
