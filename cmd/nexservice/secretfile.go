package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// secretFile is a file of mode 0600 that is created whole or not at all. It is opened
// before the secret is created, so that a full disk or a wrong path loses no secret.
type secretFile struct {
	path string
	temp *os.File  // renamed to path by write
	w    io.Writer // instead of temp: standard output, a pipe, a device
}

// newSecretFile opens the file. The path "" means no file, "-" means standard output.
func newSecretFile(path string, stdout io.Writer) (*secretFile, error) {
	switch path {
	case "":
		return &secretFile{}, nil
	case "-":
		return &secretFile{w: stdout}, nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name a file for the registration key", path)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("registration key file: %w", err)
		}
		return &secretFile{path: path, w: f}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("registration key file: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".nexservice-key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("registration key file: %w", err)
	}
	return &secretFile{path: path, temp: temp}, nil
}

// write writes the secret and moves the file to its path.
func (f *secretFile) write(secret string) error {
	if f.w != nil {
		_, err := fmt.Fprintln(f.w, secret)
		return err
	}
	if f.temp == nil {
		return nil
	}
	_, err := fmt.Fprintln(f.temp, secret)
	err = errors.Join(err, f.temp.Sync(), f.temp.Close())
	if err == nil {
		err = os.Rename(f.temp.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("registration key file %s: %w; create another with nexservice key create", f.path, err)
	}
	f.temp = nil
	return nil
}

// discard removes a file that was not written.
func (f *secretFile) discard() {
	if f.temp != nil {
		f.temp.Close()
		os.Remove(f.temp.Name())
	}
	if c, ok := f.w.(io.Closer); ok && f.path != "" {
		c.Close()
	}
}
