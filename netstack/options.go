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

	// timeWait is short: a WireGuard packet that is late by seconds is dropped by
	// the replay window or the next session, so no old segment can turn up after
	// a minute, while at thousands of connections a second a minute of them would
	// exhaust ports and memory.
	timeWait = 10 * time.Second
)

// setTCPOptions is how this stack's TCP differs from gVisor's defaults. RACK is
// on by default.
func setTCPOptions(s *stack.Stack, cfg Config) error {
	sack := tcpip.TCPSACKEnabled(true)
	cubic := tcpip.CongestionControlOption("cubic")
	// Only for the window scale it announces, which must allow MaxReceive; the
	// growing is done by window.go, since gVisor's never grows far enough.
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
