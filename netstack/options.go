package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/mesh"
)

const (
	minBuffer = 4 << 10

	// timeWait is short. WireGuard's replay window and the next session drop packets
	// that are seconds late, so no old segment can arrive after a minute. At thousands
	// of connections per second, TIME_WAIT of a minute would exhaust ports and memory.
	timeWait = 10 * time.Second
)

// setTCPOptions sets the options in which this stack's TCP differs from gVisor's
// defaults. RACK is on by default.
func setTCPOptions(s *stack.Stack, cfg Config) error {
	sack := tcpip.TCPSACKEnabled(true)
	cubic := tcpip.CongestionControlOption("cubic")
	// Only for the window scale that it announces, which must allow MaxReceive. The
	// buffers are grown by repair.Autotune, because gVisor does not grow them enough.
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: cfg.BufferSize, Max: cfg.MaxReceive}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: cfg.BufferSize, Max: cfg.MaxSend}
	reuse := tcpip.TCPTimeWaitReuseOption(tcpip.TCPTimeWaitReuseGlobal)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &cubic, &moderate, &receive, &send, &reuse, &wait} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: TCP option %T: %v", o, err)
		}
	}
	return nil
}
