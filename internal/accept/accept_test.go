package accept_test

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"nexd/internal/accept"
)

func Example() {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ECONNABORTED, syscall.EINVAL} {
		err := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)}
		fmt.Println(accept.Shortage(err), accept.OfClient(err))
	}
	fmt.Println(accept.Shortage(net.ErrClosed), accept.OfClient(net.ErrClosed))
	// Output:
	// true false
	// false true
	// false false
	// false false
}
