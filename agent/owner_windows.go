package agent

import "io/fs"

// ownerOf knows no user ids here.
func ownerOf(fs.FileInfo) (int, bool) { return 0, false }
