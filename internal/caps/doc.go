// Package caps drops the capabilities of a Linux process that it no longer needs.
// It asks for none, and does nothing on other systems.
package caps
