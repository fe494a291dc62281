package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"nexd/internal/program"
)

// show writes rows as a table, or v as JSON.
func show(w io.Writer, asJSON bool, v any, head string, rows [][]string) error {
	if asJSON {
		return program.WriteJSON(w, v)
	}
	return program.WriteTable(w, head, rows)
}

// list joins words for a table cell; "-" for none.
func list[T fmt.Stringer](vs []T) string {
	if len(vs) == 0 {
		return "-"
	}
	words := make([]string, len(vs))
	for i, v := range vs {
		words[i] = v.String()
	}
	return strings.Join(words, ",")
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
