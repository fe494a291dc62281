// Nexservice is the service that nodes join. Its command serve runs the service; the
// other commands work on the database, whether the service runs or not.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage.
package main
