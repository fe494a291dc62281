// Package budget admits connections while the memory of the process lasts.
//
// Each connection, flow or client takes its estimated cost before anything is opened for it, and
// gives the cost back at its end. An estimate can be wrong, for example when many connections hold
// data that nobody reads, so the owner of the budget measures the process and says when memory is
// tight.
//
//	Take ──▶ held + cost ≤ size, and not tight ──▶ admitted, until Give
//	                  └── else: refused, counted, before a socket or a goroutine exists
//
// It does not count bytes of data, and it evicts nothing: what is admitted continues.
package budget
