package datapath

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

const canAsk = true

// look asks the other side of a connection if it is time. hastily says that the keepalive was
// hastened and is to be set back.
func look(c *net.TCPConn, hastily bool) (st looked) {
	raw, err := c.SyscallConn()
	if err != nil {
		return looked{gone: true}
	}
	err = raw.Control(func(fd uintptr) {
		if hastily {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive/time.Second))
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.State == unix.BPF_TCP_CLOSE {
			st.gone = true
			return
		}
		bytes, heard := min(info.Last_data_sent, info.Last_data_recv), min(info.Last_data_recv, info.Last_ack_recv)
		st.moved = bytes < uint32(askUntil/time.Millisecond)
		if st.moved && heard >= uint32(askAfter/time.Millisecond) && info.Unacked == 0 {
			st.asked = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1) == nil
		}
	})
	st.gone = st.gone || err != nil
	return st
}
