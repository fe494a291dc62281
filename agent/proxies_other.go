//go:build !linux

package agent

import "net"

// proxyListenConfig leaves keepalive to package net, which sets it for each client.
func proxyListenConfig() *net.ListenConfig { return new(net.ListenConfig) }
