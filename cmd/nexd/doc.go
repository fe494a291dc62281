// Nexd joins this host to a WireGuard mesh without kernel privileges. It is also the
// command that queries and controls a running node.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not running or unreachable.
//
// Size: one command line; its commands are small and share their flags, the config file and
// the client of the running node. The commands of admin are a package of their own.
package main
