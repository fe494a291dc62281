package admin

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"nexd/control"
	"nexd/internal/program"
	"nexd/mesh"
)

type nodeCmd struct {
	List    nodeListCmd    `cmd:"" default:"1" help:"List the nodes of an organization."`
	Show    nodeShowCmd    `cmd:"" help:"Show a node."`
	Remove  nodeRemoveCmd  `cmd:"" help:"Remove a node; frees its name and prefixes and forgets its key."`
	Pending nodePendingCmd `cmd:"" help:"Show the node that waits with this code."`
	Approve nodeApproveCmd `cmd:"" help:"Approve the node that waits with this code."`
	Deny    nodeDenyCmd    `cmd:"" help:"Deny the node that waits with this code."`
}

type nodeListCmd struct{ inOrg }

func (cmd *nodeListCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	l, err := a.Nodes(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, d := range l.Nodes {
		rows = append(rows, nodeRow(d))
	}
	return a.show(l, nodeHead, rows)
}

const nodeHead = "NAME ID STATE ADDRESSES PREFIXES OS LAST-SEEN"

func nodeRow(d control.NodeInfo) []string {
	state := "offline"
	if d.Online {
		state = "online"
	}
	return []string{d.Name, string(d.ID), state, words(d.Addresses), held(d.Prefixes), d.OS, stamp(d.LastSeen)}
}

// oneNode is the arguments of commands about one node.
type oneNode struct {
	inOrg
	Node string `arg:"" help:"Name or ID of the node."`
}

type nodeShowCmd struct{ oneNode }

func (cmd *nodeShowCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	d, err := a.Node(ctx, org, cmd.Node)
	if err != nil {
		return err
	}
	return a.show(d, nodeHead, [][]string{nodeRow(d)})
}

type nodeRemoveCmd struct{ oneNode }

func (cmd *nodeRemoveCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	d, err := a.RemoveNode(ctx, org, cmd.Node)
	if err != nil {
		return err
	}
	return a.tell(d, "Removed %s (%s).", d.Name, d.ID)
}

// withCode is the arguments of commands about a node that waits with a code.
type withCode struct {
	Code string `arg:"" help:"Code shown by the node, such as WDJB-MJHT."`
}

type nodePendingCmd struct{ withCode }

func (cmd *nodePendingCmd) Run(ctx context.Context, a *Client) error {
	p, err := a.Pending(ctx, cmd.Code)
	if err != nil {
		return err
	}
	return a.show(p, "CODE STATE HOSTNAME OS ADDRESS PREFIXES KEY EXPIRES", [][]string{
		{p.UserCode, p.State, p.Hostname, p.OS, p.Address.String(), words(p.Prefixes), p.Fingerprint, stamp(p.Expires)},
	})
}

type nodeApproveCmd struct {
	inOrg
	withCode
}

func (cmd *nodeApproveCmd) Run(ctx context.Context, a *Client) error {
	p, err := a.Approve(ctx, cmd.Code, cmd.OrgName) // without a name the service takes the default one
	if err != nil {
		return err
	}
	return a.tell(p, "Approved %s with key %s; it joins now.", p.Hostname, p.Fingerprint)
}

type nodeDenyCmd struct{ withCode }

func (cmd *nodeDenyCmd) Run(ctx context.Context, a *Client) error {
	p, err := a.Deny(ctx, cmd.Code)
	if err != nil {
		return err
	}
	return a.tell(p, "Denied %s with key %s.", p.Hostname, p.Fingerprint)
}

type prefixCmd struct {
	List    prefixListCmd    `cmd:"" default:"1" help:"List the prefixes that nodes hold."`
	Release prefixReleaseCmd `cmd:"" help:"Release a prefix so that another node can use it."`
}

type prefixListCmd struct{ inOrg }

func (cmd *prefixListCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	l, err := a.Prefixes(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, h := range l.Prefixes {
		rows = append(rows, []string{h.Prefix.String(), h.HolderName, h.State(), stamp(h.LastSeen)})
	}
	return a.show(l, "PREFIX HOLDER STATE LAST-SEEN", rows)
}

type prefixReleaseCmd struct {
	inOrg
	Prefix string `arg:"" help:"The prefix, as shown by prefix list."`

	prefix netip.Prefix
}

func (cmd *prefixReleaseCmd) Check(*Client) (err error) {
	if cmd.prefix, err = mesh.ParsePrefix(cmd.Prefix); err != nil {
		return program.UsageError{Err: err}
	}
	return nil
}

func (cmd *prefixReleaseCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	h, err := a.ReleasePrefix(ctx, org, cmd.prefix)
	if err != nil {
		return err
	}
	return a.tell(h, "Released %v, which %s held.", h.Prefix, h.HolderName)
}

type regKeyCmd struct {
	List   regKeyListCmd   `cmd:"" default:"1" help:"List registration keys."`
	Create regKeyCreateCmd `cmd:"" help:"Create a registration key; the key is shown only once."`
	Revoke regKeyRevokeCmd `cmd:"" help:"Revoke a registration key; nodes that joined with it stay."`
}

type regKeyListCmd struct{ inOrg }

func (cmd *regKeyListCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	l, err := a.Keys(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, k := range l.Keys {
		left := "any"
		if !k.Reusable {
			left = strconv.Itoa(k.UsesLeft)
		}
		replaces := "no"
		if k.Replace {
			replaces = "yes"
		}
		rows = append(rows, []string{k.ID, k.Prefix + "…", k.State, strconv.Itoa(k.Used), left, stamp(k.Expires), replaces, k.Description})
	}
	return a.show(l, "ID KEY STATE USED LEFT EXPIRES REPLACES DESCRIPTION", rows)
}

type regKeyCreateCmd struct {
	inOrg
	secret
	Uses        int    `help:"Number of nodes that may join with the key; 0 means unlimited." default:"0" placeholder:"N" env:"-"`
	Expires     string `help:"Lifetime, such as 24h or 30d (default: unlimited)." placeholder:"DURATION" env:"-"`
	Description string `help:"Description." placeholder:"TEXT" env:"-"`
	Replace     bool   `help:"New nodes replace those of the same host name that joined with this key and have been offline for a minute, with their prefixes." env:"-"`

	expires int64
}

func (cmd *regKeyCreateCmd) Check(*Client) (err error) {
	if cmd.Uses < 0 {
		return program.Usagef("--uses cannot be negative")
	}
	cmd.expires, err = span("expires", cmd.Expires)
	return err
}

func (cmd *regKeyCreateCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	if err := cmd.open(); err != nil {
		return err
	}
	defer cmd.discard()
	k, err := a.CreateKey(ctx, org, control.NewKey{Description: cmd.Description, Uses: cmd.Uses, ExpiresIn: cmd.expires, Replace: cmd.Replace})
	if err != nil {
		return err
	}
	if cmd.Replace && !k.Replace {
		if _, err := a.RevokeKey(ctx, org, k.ID); err != nil {
			return fmt.Errorf("the service is too old for --replace; revoke key %s, which it created without: %w", k.ID, err)
		}
		return mesh.Errorf(mesh.Invalid, "the service is too old for --replace; key %s, which it created without, is revoked", k.ID)
	}
	public := k
	public.Text = ""
	return cmd.hand(a, k.Text, public, k, "To revoke it: nexd admin key revoke "+k.ID)
}

type regKeyRevokeCmd struct {
	inOrg
	Key string `arg:"" help:"ID of the key, or its prefix as shown by key list."`
}

func (cmd *regKeyRevokeCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	k, err := a.RevokeKey(ctx, org, strings.TrimSuffix(cmd.Key, "…"))
	if err != nil {
		return err
	}
	return a.tell(k, "Revoked key %s (%s…). Nodes that joined with it stay; remove one with nexd admin node remove.", k.ID, k.Prefix)
}
