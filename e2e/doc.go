// Package e2e runs the real binaries with real clients, as a user would: in its own
// network namespaces, and as a user without capabilities.
//
//	 svc 192.0.2.1        the service
//	  │
//	──┴── wan bridge ──┬───────────────┬──────────────┐
//	                   │               │              │
//	         node1 192.0.2.11   node2 192.0.2.12   laptop 192.0.2.21
//	                   │               │
//	     c1 172.24.0.10/24      c2 172.28.0.10/24    "containers"
//
// It runs only with `make e2e` (NEXD_E2E=1), which builds the binaries first. As root it
// uses ip netns; otherwise it enters a user namespace. If a tool is missing, the test
// skips; in CI it fails.
package e2e
