//go:build linux

package report

// metric is a row of a table.
type metric struct {
	name, title string
}

// metrics are the rows in the order in which they are printed.
var metrics = []metric{
	{"down1_mbit", "down, 1 stream, Mbit/s"},
	{"up1_mbit", "up, 1 stream, Mbit/s"},
	{"down8_mbit", "down, 8 streams, Mbit/s"},
	{"up8_mbit", "up, 8 streams, Mbit/s"},
	{"down1_cpu", "CPU s/GB down 1, A+B"},
	{"down1_cpu_a", "  A"},
	{"down1_cpu_b", "  B"},
	{"down1_cpu_s", "  the relay between them"},
	{"down1_cpu_all", "  whole machine"},
	{"up1_cpu", "CPU s/GB up 1, A+B"},
	{"up1_cpu_a", "  A"},
	{"up1_cpu_b", "  B"},
	{"up1_cpu_s", "  the relay between them"},
	{"up1_cpu_all", "  whole machine"},
	{"down8_cpu", "CPU s/GB down 8, A+B"},
	{"down8_cpu_a", "  A"},
	{"down8_cpu_b", "  B"},
	{"down8_cpu_all", "  whole machine"},
	{"up8_cpu", "CPU s/GB up 8, A+B"},
	{"up8_cpu_a", "  A"},
	{"up8_cpu_b", "  B"},
	{"up8_cpu_all", "  whole machine"},
	{"rtt_p50_us", "64 B round trip, idle, p50 µs"},
	{"rtt_p99_us", "  p99 µs"},
	{"load_p50_us", "64 B round trip, 1 download, p50 µs"},
	{"load_p99_us", "  p99 µs"},
	{"load_mbit", "  that download, Mbit/s"},
	{"conn1_rate", "new connections/s, 1 worker"},
	{"conn1_p50_us", "  p50 µs"},
	{"conn32_rate", "new connections/s, 32 workers"},
	{"conn32_p50_us", "  p50 µs"},
	{"conn32_p99_us", "  p99 µs"},
	{"conn32_errors", "  errors"},
	{"conn32_cpu_ms", "  CPU ms per connection, A+B"},
	{"idle_mib_a", "fresh idle, MiB, A"},
	{"idle_mib_b", "  B"},
	{"peak_mib_a", "peak after bulk, MiB, A"},
	{"peak_mib_b", "  B"},
	{"after_mib_a", "resident after bulk, MiB, A"},
	{"after_mib_b", "  B"},
	{"conn_kib_a", "KiB per idle connection, A"},
	{"conn_kib_b", "  B"},
	{"idle10k_kib_a", "KiB per idle connection of 10,000, A"},
	{"idle10k_kib_b", "  B"},
	{"idle10k_s", "  opened in, s"},
	{"udpfwd_pps", "datagrams/s there and back, forward"},
	{"udpfwd_lost", "  lost, %"},
	{"udpfwd_cpu_us", "  CPU µs per datagram, A+B"},
	{"udpfwd_steady_lost", "  lost of 20,000/s, one way, %"},
	{"udpassoc_pps", "datagrams/s there and back, UDP ASSOCIATE"},
	{"udpassoc_lost", "  lost, %"},
	{"udpassoc_cpu_us", "  CPU µs per datagram, A+B"},
	{"udpassoc_steady_lost", "  lost of 20,000/s, one way, %"},
	{"start_ms", "start of A to first byte, ms"},
	{Stolen, "stolen processor time, %"},
}

// Metrics are the names that a sample may have figures for.
func Metrics() (names []string) {
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return names
}
