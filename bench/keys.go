//go:build linux

package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"

	"nexd/bench/lab"
)

// wgPair is the configurations of two stock WireGuard peers, in the format of wireguard's
// IpcSet.
type wgPair struct{ a, b string }

// newPair generates keys. Host A may send to the mesh and the LAN.
func newPair() (wgPair, error) {
	keyA, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return wgPair{}, err
	}
	keyB, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return wgPair{}, err
	}
	one := func(own, peer *ecdh.PrivateKey, more ...string) string {
		lines := append([]string{fmt.Sprintf("private_key=%x", own.Bytes())}, more[0], fmt.Sprintf("public_key=%x", peer.PublicKey().Bytes()))
		return strings.Join(append(lines, more[1:]...), "\n") + "\n"
	}
	return wgPair{
		a: one(keyA, keyB, "listen_port=0", "endpoint="+netip.AddrPortFrom(lab.WanB, lab.AgentPort).String(), "allowed_ip="+lab.MeshB.String()+"/32", "allowed_ip="+lab.LAN.String()),
		b: one(keyB, keyA, fmt.Sprintf("listen_port=%d", lab.AgentPort), "allowed_ip="+lab.MeshA.String()+"/32"),
	}, nil
}
