// Package bucket limits how often somebody may do something: a token bucket, and a
// table of them by source address whose memory does not grow with the number of
// sources.
//
// It has no clock and no goroutines; the time comes in with each question. The
// table forgets nothing and evicts nobody: sources are hashed into a fixed number
// of buckets, so that two of them may share one, and a flood with forged sources
// costs no memory.
package bucket
