//go:build !unix

package netstack

import "io"

// Other systems have no descriptors to read and write directly, so copies go through
// a buffer.

func (c *Conn) spliceTo(io.Writer) (int64, bool, error)   { return 0, false, nil }
func (c *Conn) spliceFrom(io.Reader) (int64, bool, error) { return 0, false, nil }
