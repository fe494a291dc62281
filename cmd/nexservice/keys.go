package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"nexd/control"
	"nexd/internal/program"
	"nexd/service"
	"nexd/service/people"
	"nexd/service/store"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create a registration key; the key is shown only once."`
	List   keyListCmd   `cmd:"" help:"List registration keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a registration key; nodes that joined with it stay."`
}

type keyCreateCmd struct {
	inOrg
	Uses        int           `help:"Number of nodes that may join with the key; 0 means unlimited." default:"0" placeholder:"N"`
	Expires     time.Duration `help:"Lifetime, such as 24h; 0 means unlimited." default:"0" placeholder:"DURATION"`
	Description string        `help:"Description." placeholder:"TEXT"`
	Replace     bool          `help:"New nodes replace those of the same host name that joined with this key and have been offline for a minute, with their prefixes."`
	RegKeyOut   string        `help:"Write the key to this file (mode 0600) instead of standard output." placeholder:"FILE"`
	NoPin       bool          `help:"Leave the pin out of the key, for a service with --tls-cert."`
}

func (cmd *keyCreateCmd) Check(*cli) error {
	if cmd.Uses < 0 || cmd.Expires < 0 {
		return program.Usagef("--uses and --expires cannot be negative")
	}
	return nil
}

func (cmd *keyCreateCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	pin, err := cmd.pin(ctx, st)
	if err != nil {
		return err
	}
	out, err := newSecretFile(cmd.RegKeyOut, c.std.Out)
	if err != nil {
		return err
	}
	defer out.discard()
	k, secret, err := st.CreateKey(ctx, org.ID, store.KeyParams{Description: cmd.Description, Uses: cmd.Uses, Lifetime: cmd.Expires, Replaces: cmd.Replace})
	if err != nil {
		return err
	}
	key, err := withPin(secret, pin)
	if err != nil {
		return err
	}
	if err := out.write(key.Text()); err != nil {
		return err
	}
	return cmd.tell(c.std, k, key)
}

func (cmd *keyCreateCmd) pin(ctx context.Context, st *store.Store) (control.Pin, error) {
	meta, err := st.Meta(ctx)
	if err != nil || cmd.NoPin || len(meta.TLSKey) == 0 {
		return control.Pin{}, err
	}
	_, pin, err := service.LoadTLS(meta.TLSCert, meta.TLSKey)
	return pin, err
}

func (cmd *keyCreateCmd) tell(std program.Streams, k store.RegistrationKey, key control.RegKey) error {
	shown := cmd.RegKeyOut == ""
	switch {
	case cmd.JSON && cmd.RegKeyOut != "-":
		v := people.KeyInfo(k, time.Now())
		if shown {
			v.Text = key.Text()
		}
		return show(std.Out, true, v, "", nil)
	case shown:
		fmt.Fprintln(std.Out, key.Text())
		fmt.Fprintf(std.Err, "The key is shown only once. To revoke it: nexservice key revoke %s\n", k.ID)
	case cmd.RegKeyOut != "-":
		fmt.Fprintf(std.Out, "Created key %s (%s…) and wrote it to %s.\n", k.ID, k.Prefix, cmd.RegKeyOut)
	}
	return nil
}

type keyListCmd struct{ inOrg }

func (cmd *keyListCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	keys, err := st.Keys(ctx, org.ID)
	if err != nil {
		return err
	}
	out, rows := []control.Key{}, [][]string{}
	for _, k := range keys {
		v := people.KeyInfo(k, time.Now())
		left := "any"
		if !v.Reusable {
			left = strconv.Itoa(v.UsesLeft)
		}
		replaces := "no"
		if v.Replace {
			replaces = "yes"
		}
		out = append(out, v)
		rows = append(rows, []string{v.ID, v.Prefix + "…", v.State, strconv.Itoa(v.Used), left, stamp(v.Expires), replaces, program.Dash(v.Description)})
	}
	return show(c.std.Out, cmd.JSON, out, "ID KEY STATE USED LEFT EXPIRES REPLACES DESCRIPTION", rows)
}

type keyRevokeCmd struct {
	inOrg
	Key string `arg:"" help:"ID of the key, or its prefix as shown by key list."`
}

func (cmd *keyRevokeCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	k, err := st.RevokeKey(ctx, org.ID, trimEllipsis(cmd.Key))
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(c.std.Out, true, people.KeyInfo(k, time.Now()), "", nil)
	}
	fmt.Fprintf(c.std.Out, "Revoked key %s (%s…). Nodes that joined with it stay; remove one with nexservice node remove.\n", k.ID, k.Prefix)
	return nil
}
