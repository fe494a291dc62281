package relayserver_test

import (
	"context"
	"fmt"
	"net/http"

	"nexd/control"
	"nexd/service/relayserver"
)

func ExampleServer() {
	key, _ := control.RelayKey([]byte("the secret of the database, at least 32 bytes"))
	srv, err := relayserver.New(relayserver.Config{TokenKey: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+control.PathRelay, srv) // where relay.Token.URL points

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(srv.Run(ctx), srv.Stats().Nodes)
	// Output: <nil> 0
}
