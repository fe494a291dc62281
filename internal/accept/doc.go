// Package accept helps to accept clients. It tells the errors of a listener's Accept apart: the
// error of one client says nothing about the next; a shortage ends when somebody gives
// something back; after any other error the listener is useless. Backoff makes the pauses
// between failures. Claim opens a listener at an address that was in use a moment ago.
package accept
