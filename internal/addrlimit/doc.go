// Package addrlimit limits how often an address may do something. Each IPv4 address
// and each IPv6 /64, the least that one subscriber has, owns a token bucket; addresses
// that find no room in the table share one bucket.
package addrlimit
