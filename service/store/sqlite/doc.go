// Package sqlite is the store's engine over one SQLite file.
//
//	writer   one connection, BEGIN IMMEDIATE: the writers of this process queue in
//	         database/sql, and wait in SQLite only for other processes
//	readers  some connections that cannot write; in WAL mode they wait for nobody
//
// Other processes may have the same file open: `nexservice` commands work beside
// a running service. Commits are flushed to the disk, since a commit that a power
// cut took back would let a revision appear twice.
package sqlite
