// Package engine is the seam between the store and a database. The store owns
// the SQL text and the rules; an engine opens the database, runs transactions and
// turns the driver's errors into errors that the store understands.
//
//	store ── SQL text ──▶ Engine ──▶ driver ──▶ database
//	      ◀─ ErrNoRow, ErrDuplicate, *Fault ◀── driver's error
//
// service/store/sqlite is an Engine. An engine for PostgreSQL needs no change of
// this contract:
//
//	                 SQLite                          PostgreSQL
//	transaction      BEGIN IMMEDIATE, one writer     BEGIN, many writers
//	row lock         none: a writer is alone         SELECT … FOR UPDATE (Dialect.RowLock)
//	duplicate        SQLITE_CONSTRAINT_UNIQUE        SQLSTATE 23505
//	busy             SQLITE_BUSY after BusyTimeout   lock_timeout, SQLSTATE 55P03
//	conflict         cannot happen                   SQLSTATE 40001 and 40P01: run the function again
//	migrations       goose, SQLite dialect           goose, PostgreSQL dialect, under a lock
//	other processes  the service polls               NOTIFY after the commit, then polling
//
// Both take the same SQL text. It numbers its parameters ($1, $2, …) and uses
// RETURNING, ON CONFLICT … DO UPDATE, TRUE and FALSE. Its columns are TEXT, BIGINT,
// INTEGER and BOOLEAN; package column says how other values are written in them.
//
// SQL and InTx build an Engine's transactions over database/sql, so an engine
// consists of opening the database, its Dialect and its migrations.
package engine
