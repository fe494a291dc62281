// Package archtest keeps the house in order. Its tests read the tables of
// docs/architecture.md and fail when a package imports from its own floor or a
// floor above, when a heavy import appears outside the rooms that own it, when a
// package lacks its doc comment or its tests, and when the document names a folder
// or a file that does not exist. The tables hold the rules; this package holds none
// of its own.
package archtest
