package people

// Cheapen makes password hashes cheap, for tests that make many.
func Cheapen(p *People) { p.cost = cost{time: 1, memory: 64, threads: 1} }
