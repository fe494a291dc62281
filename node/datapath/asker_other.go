//go:build !linux

package datapath

import "net"

// canAsk: TUN mode is for Linux only.
const canAsk = false

func look(*net.TCPConn, bool) looked { return looked{gone: true} }
