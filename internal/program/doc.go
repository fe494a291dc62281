// Package program contains the code that nexd and nexservice share as programs: streams
// and signals, the parser of the command line, checking and running a command, exit
// codes, usage errors, the version, and output for scripts. The commands themselves are
// in cmd.
package program
