// Package load is the load that package bench puts on a system: a client on host A
// and a server in the container.
//
//	bench ── rpc over standard input and output ──▶ load client ═ system ═ load server ◀── rpc ── bench
//
// Both run as processes of their own, started with RoleClient or RoleServer as the
// first argument. The client opens bulk flows, round trips, new connections, idle
// connections and datagrams, directly or through a SOCKS5 proxy; ClientCalls are
// the methods that bench calls. The first byte of a connection or datagram tells
// the server what to do with it. The package measures what the load sees (rates,
// times, losses); bench reads processor time and memory. Linux only.
package load
