package e2e

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// digClients are dig in dante's hands, which asks a name server in c1 by UDP ASSOCIATE.
// dig's event loop sends by sendmmsg, which dante does not know of, unless the system
// has none.
func digClients(w *world, socksify []string) []stockClient {
	w.start("c1", "name server", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "dns")
	args := append([]string{"env", "NEXD_E2E_HELPER=1", bin("helper"), "without-sendmmsg"}, socksify...)
	return []stockClient{{"dig over UDP ASSOCIATE", "172.24.0.53", append(args, "dig", "+short", "+tries=3", "+time=2", "@172.24.0.10", "printer.example", "A")}}
}

// withoutSendmmsg becomes another program, to which the system has no sendmmsg.
func withoutSendmmsg(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_SENDMMSG},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // the filter is this thread's, and so is the program's
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	return unix.Exec(path, args, os.Environ())
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
