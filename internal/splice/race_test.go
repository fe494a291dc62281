//go:build race

package splice

// raceEnabled: the race detector makes sync.Pool forget on purpose.
const raceEnabled = true
