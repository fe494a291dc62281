// Package storetest is the contract of package store: what any database behind
// it has to pass. It goes through the exported API only and knows no SQL.
package storetest
