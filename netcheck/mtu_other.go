//go:build !linux

package netcheck

import (
	"errors"
	"runtime"
)

func listenDF(string) (Socket, error) {
	return nil, errors.New("nexd does not know how to keep " + runtime.GOOS + " from cutting packets")
}
