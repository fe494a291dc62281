//go:build unix && !linux

package router

func wantErrors(int, bool) {}

func mayFragment(int, bool) {}

func drainErrors(int) {}
