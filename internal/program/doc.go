// Package program holds what nexd and nexservice share as programs: the streams and
// signals they run under, the command line's parser, the one way a parsed command is
// checked and run, exit codes, errors of usage, the version and output for scripts. It
// knows no command; the commands are in cmd.
package program
