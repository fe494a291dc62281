package e2e

import (
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// digRelay is a port of the laptop that leads through UDP ASSOCIATE: dig's own event
// loop sends by sendmmsg, which dante's socksify does not know of.
const digRelay = `
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("127.0.0.1", 5300))
print("ready", flush=True)
while True:
    question, asker = here.recvfrom(4096)
    s.sendto(question, ("172.24.0.10", 53))
    here.sendto(s.recvfrom(4096)[0], asker)
`

// digClients ask a name server in c1 by UDP ASSOCIATE; pysocks makes its socket s.
func digClients(w *world, pysocks string) []stockClient {
	w.start("c1", "name server", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "dns")
	w.start("laptop", "relay to the name server", nil, python, "-c", pysocks+digRelay).line("ready", testLimit)
	return []stockClient{{"dig over UDP ASSOCIATE", "172.24.0.53", []string{"dig", "+short", "+tries=3", "+time=2", "@127.0.0.1", "-p", "5300", "printer.example", "A"}}}
}

// serveDNS knows one address for every name.
func serveDNS() error {
	pc, err := net.ListenPacket("udp", ":53")
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return err
		}
		if answer := answerDNS(buf[:n]); answer != nil {
			pc.WriteTo(answer, from)
		}
	}
}

// answerDNS is nil for what is no question.
func answerDNS(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if q.Type == dnsmessage.TypeA {
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{172, 24, 0, 53}},
		}}
	}
	out, err := reply.Pack()
	if err != nil {
		return nil
	}
	return out
}
