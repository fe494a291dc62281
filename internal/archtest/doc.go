// Package archtest keeps the house's floors: its test fails when a package
// imports one from its own floor or above, when a heavy import appears outside
// the room that owns it, or when a package lacks its doc comment or its tests.
// docs/architecture.md draws what it checks.
package archtest
