//go:build linux

package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's unit of processor time in /proc (USER_HZ, 100 on every
// platform Go supports).
const tick = 10 * time.Millisecond

// CPUOf is the processor time that a process has used, zero for no process.
func CPUOf(p *Process) (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, err
	}
	return parseStat(string(b))
}

// parseStat reads utime and stime, fields 14 and 15 of /proc/PID/stat. The second
// field is a name in brackets that may hold anything.
func parseStat(s string) (time.Duration, error) {
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("process statistics %q are too short", s)
	}
	var sum int64
	for _, field := range f[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process statistics %q: %w", s, err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// MachineTime is the time of all processors together, since the start or within an
// interval.
type MachineTime struct {
	Busy   time.Duration // neither idle nor waiting for a disk; includes Stolen
	Stolen time.Duration // wanted, but given to other guests by the hypervisor
}

// ReadMachine is the time since the machine started.
func ReadMachine() (MachineTime, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return MachineTime{}, err
	}
	return parseMachine(string(b))
}

// Since is the time between two readings.
func (m MachineTime) Since(before MachineTime) MachineTime {
	return MachineTime{Busy: m.Busy - before.Busy, Stolen: m.Stolen - before.Stolen}
}

// StolenPercent is the share of the wanted processor time that the hypervisor gave
// to other guests. Idle time does not count, so pauses do not hide stolen time.
func (m MachineTime) StolenPercent() float64 {
	if m.Busy <= 0 {
		return 0
	}
	return 100 * m.Stolen.Seconds() / m.Busy.Seconds()
}

// parseMachine reads the first line of /proc/stat.
func parseMachine(s string) (m MachineTime, err error) {
	line, _, _ := strings.Cut(s, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return m, fmt.Errorf("machine statistics begin with %q", line)
	}
	const idle, iowait, steal = 3, 4, 7
	for i, field := range f[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return MachineTime{}, fmt.Errorf("machine statistics %q: %w", line, err)
		}
		if i != idle && i != iowait {
			m.Busy += time.Duration(n) * tick
		}
		if i == steal {
			m.Stolen = time.Duration(n) * tick
		}
	}
	return m, nil
}

// Memory of a process, in bytes.
type Memory struct{ Resident, Peak float64 }

// MemoryOf is zero for no process.
func MemoryOf(p *Process) (Memory, error) {
	if p == nil {
		return Memory{}, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(b))
}

// parseMemory reads VmRSS and VmHWM of /proc/PID/status.
func parseMemory(s string) (m Memory, err error) {
	for name, to := range map[string]*float64{"VmRSS:": &m.Resident, "VmHWM:": &m.Peak} {
		_, after, ok := strings.Cut(s, "\n"+name)
		var kib float64
		if _, err := fmt.Sscan(after, &kib); !ok || err != nil {
			return m, fmt.Errorf("process status has no %s", name)
		}
		*to = kib * 1024
	}
	return m, nil
}
