// Package envproxy keeps a program that is itself a proxy from being its own client. People
// set HTTPS_PROXY and the like to a node's proxy, for the whole shell or the whole host, and
// the node reads them, too.
package envproxy
