package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"nexd/control"
	"nexd/internal/program"
	"nexd/service"
	"nexd/service/people"
	"nexd/service/store"
)

type bootstrapCmd struct {
	User         string `required:"" help:"E-mail address of the first user." placeholder:"EMAIL"`
	PasswordFile string `required:"" help:"File with the user's password; - reads standard input." placeholder:"FILE"`
	RegKeyOut    string `help:"Write the first registration key to this file (mode 0600) instead of standard output." placeholder:"FILE"`
	PublicURL    string `name:"public-url" help:"URL at which nodes will reach the service." placeholder:"URL"`
	NoPin        bool   `help:"Leave the pin out of the registration key, for a service with --tls-cert."`

	public *control.JoinURL
}

func (b *bootstrapCmd) Check(*cli) (err error) {
	b.public, err = parsePublicURL(b.PublicURL)
	return err
}

// parsePublicURL reads --public-url, which carries no pin because the key may change.
// It returns nil for an empty URL.
func parsePublicURL(s string) (*control.JoinURL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := control.ParseJoinURL(s)
	if err != nil {
		return nil, program.UsageError{Err: fmt.Errorf("--public-url: %w", err)}
	}
	if !u.Pin.IsZero() {
		return nil, program.Usagef("--public-url takes no #pin=; the service knows its own")
	}
	return &u, nil
}

func (b *bootstrapCmd) Run(ctx context.Context, c *cli) error {
	password, err := readPassword(b.PasswordFile, c.std.In)
	if err != nil {
		return err
	}
	hash, err := people.HashPassword(password)
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := service.NewTLSKey(time.Now())
	if err != nil {
		return err
	}
	_, pin, err := service.LoadTLS(certPEM, keyPEM)
	if err != nil {
		return err
	}
	out, err := newSecretFile(b.RegKeyOut, c.std.Out) // first, since the key is shown only once
	if err != nil {
		return err
	}
	defer out.discard()
	st, err := store.Open(ctx, c.dsn(), store.Options{Create: true})
	if err != nil {
		return err
	}
	defer st.Close()
	params := store.BootstrapParams{
		Email: b.User, PasswordHash: hash, TLSCert: certPEM, TLSKey: keyPEM, Key: &store.KeyParams{Description: "created by bootstrap"},
	}
	if b.public != nil {
		params.PublicURL = b.public.Base()
	}
	boot, err := st.Bootstrap(ctx, params)
	if err != nil {
		return err
	}
	if b.NoPin {
		pin = control.Pin{}
	}
	key, err := withPin(boot.KeySecret, pin)
	if err != nil {
		return err
	}
	if err := out.write(key.Text()); err != nil {
		return err
	}
	b.next(c.std.Out, c, boot, key, pin)
	return nil
}

// next prints what was created and which commands come next.
func (b *bootstrapCmd) next(w io.Writer, c *cli, boot store.Bootstrapped, key control.RegKey, pin control.Pin) {
	join := control.JoinURL{Scheme: "https", Host: "HOST:8443", Pin: pin}
	if b.public != nil {
		join = *b.public
		if join.Scheme == "https" {
			join.Pin = pin
		}
	}
	keyFlag := "--reg-key-file=" + b.RegKeyOut
	fmt.Fprintf(w, "Created organization %s with owner %s in %s.\n", boot.Organization.Name, boot.User.Email, c.dsn())
	switch b.RegKeyOut {
	case "":
		keyFlag = "--reg-key-file=KEYFILE"
		fmt.Fprintf(w, "Registration key, shown only once; save it in a file KEYFILE:\n  %s\n", key.Text())
	case "-":
		keyFlag = "--reg-key-file=KEYFILE"
	default:
		fmt.Fprintf(w, "The registration key is in %s.\n", b.RegKeyOut)
	}
	fmt.Fprintf(w, "\nStart the service; the UDP ports let nodes find direct paths through NATs:\n  nexservice serve --db=%s %s --stun-listen=:3478 --stun-listen=:3479\n", c.dsn(), b.listenFlags())
	fmt.Fprintf(w, "Join a node, without root:\n  nexd %s '%s'\n", keyFlag, join)
	fmt.Fprintf(w, "Make containers reachable through a node:\n  nexd router --advertise-cidr=172.24.0.0/24 %s '%s'\n", keyFlag, join)
}

// listenFlags are the flags of serve that fit the public URL. A URL without a port
// belongs to a proxy in front of the service.
func (b *bootstrapCmd) listenFlags() string {
	port, flags := "8443", ""
	if b.public != nil {
		if _, p, err := net.SplitHostPort(b.public.Host); err == nil {
			port = p
		}
		if b.public.Scheme == "http" {
			flags = " --http"
		}
	}
	return "--listen=:" + port + flags
}

// withPin makes the key as nodes get it: secret and pin.
func withPin(secret string, pin control.Pin) (control.RegKey, error) {
	k, err := control.ParseRegKey(secret)
	if err != nil {
		return control.RegKey{}, err
	}
	return k.WithPin(pin), nil
}

// readPassword reads the first line of a file or of standard input.
func readPassword(file string, stdin io.Reader) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		defer f.Close()
		in = f
	}
	const most = 4096
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("password file %s: %w", file, err)
	case len(b) > most:
		return "", fmt.Errorf("password file %s holds more than %d bytes", file, most)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
