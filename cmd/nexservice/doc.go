// Nexservice is the service that nodes join: it serves registration and the
// network map, and its other commands work on the database beside it, whether it
// runs or not.
//
// Exit codes: 0 fine, 1 failed, 2 wrong usage.
package main
