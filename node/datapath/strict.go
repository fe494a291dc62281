package datapath

import (
	"net"
	"os"
	"path/filepath"
	"strings"
)

const filterSwitches = "/proc/sys/net/ipv4/conf"

// Strict returns the interfaces where the kernel drops packets that it would answer by another
// interface, because strict reverse path filtering is on. own is the interface of the mesh. Without
// one, as in userspace mode, nothing is routed into the mesh, and the answer is nil.
func Strict(own string) []string {
	if own == "" {
		return nil
	}
	return strictInterfaces(filterSwitches, own)
}

// strictInterfaces returns the interfaces that are up, other than own and loopback, where the kernel
// drops packets that it would answer by another interface.
func strictInterfaces(dir, own string) (out []string) {
	mode := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(dir, name, "rp_filter"))
		return strings.TrimSpace(string(text))
	}
	all := mode("all") // the larger value of the two counts, and 2 is loose
	if all == "2" {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || i.Name == own {
			continue
		}
		if m := mode(i.Name); m == "1" || m == "0" && all == "1" {
			out = append(out, i.Name)
		}
	}
	return out
}
