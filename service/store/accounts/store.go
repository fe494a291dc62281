package accounts

import "nexd/service/store/txn"

// Store keeps people in a database.
type Store struct{ db *txn.DB }

// New makes a Store over a database.
func New(db *txn.DB) *Store { return &Store{db: db} }
