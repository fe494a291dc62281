package main

import (
	"bufio"
	"context"
	"io"
	"testing"

	"nexd/e2e/meshtest"
	"nexd/internal/leak"
)

// TestOneAsksTheOther runs the example twice in one process.
func TestOneAsksTheOther(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	defer func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()
	go func() { done <- run(ctx, s.Config("one"), "", io.Discard) }()
	answers, out := io.Pipe()
	go func() { done <- run(ctx, s.Config("two"), "one", out) }()
	line, err := bufio.NewReader(answers).ReadString('\n')
	if err != nil || line != "one says SERVING\n" {
		t.Errorf("%q, %v", line, err)
	}
}
