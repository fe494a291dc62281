// Package archtest keeps the house in order. Its tests read the tables of
// docs/architecture.md and fail when a package imports from its own floor or a floor
// above, when a heavy import appears outside the rooms that own it, and when the document
// names a folder or a file that does not exist. Packages need a comment and tests. Large
// packages, wide types and tests that sleep need a reason: a paragraph "Size: …" in the
// package's doc.go, or an entry in limits_test.go.
package archtest
