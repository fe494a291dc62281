// Package caps drops capabilities of a Linux process. It never acquires any, and does
// nothing on other systems.
package caps
