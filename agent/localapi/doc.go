// Package localapi is how the local commands (nexd status, ping, forward, nc,
// down) talk to a running agent: HTTP/1.1 with JSON over a Unix socket that only
// the agent's user may open.
//
//	GET    /v1/status              Status
//	POST   /v1/ping                PingRequest → PingReply
//	GET    /v1/forwards            []Forward
//	POST   /v1/forwards            {"spec": "-L 8080:node1:80"} → Forward
//	DELETE /v1/forwards            {"spec": …}
//	POST   /v1/dial?address=H:P    Upgrade: nexd-stream → the bytes of a TCP connection
//	POST   /v1/down                the agent ends
//
// Errors are {"kind": …, "message": …} with the kind's HTTP status. It is not
// the service's API, and it decides nothing: the agent stands behind Agent.
package localapi
