// Package storetest is the contract of the store. Run checks, through the exported
// API only, what the store does over any database. RunEngine checks what the store
// needs of an engine. Every engine passes both.
//
// Size: every rule of the store has its check here, once for all engines.
package storetest
