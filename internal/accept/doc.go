// Package accept tells the errors of a listener's Accept apart: one client's, which
// mean nothing to the others; a shortage, which others end by giving something back;
// and the rest, after which the listener is of no use.
package accept
