// Nexd joins this host to a WireGuard mesh without kernel privileges, and is the
// command to ask and steer a running node with.
//
// Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 not running or unreachable.
package main
