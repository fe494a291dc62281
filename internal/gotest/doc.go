// Package gotest holds the script gotest: `go test` with a second try for what fails,
// which CI uses and `make test GOTEST=internal/gotest/gotest` does, too. The script says
// what it tries again and what it never does; the package's test runs it on a module
// made for the purpose.
package gotest
