// Package bucket limits rates: a token bucket, and a table of them by source address whose memory
// does not depend on the number of sources.
//
// It has no clock and no goroutine; the caller passes the time.
//
// Table is for UDP, where anybody can forge any number of sources. It evicts nothing: sources are
// hashed into a fixed number of buckets, so that two of them may share one, and a flood of forged
// sources costs no memory. Where sources are real, as over TCP, package addrlimit gives each its own
// budget.
package bucket
