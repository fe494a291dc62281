// Nexd joins this host to a WireGuard mesh without kernel privileges. It is also the
// command that queries and controls a running node.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not running or unreachable.
package main
