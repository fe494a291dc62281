// Package program holds what nexd and nexservice share as programs: the streams and
// signals they run under, exit codes, errors of usage, the version and output for
// scripts. It knows no command; these are in cmd.
package program
