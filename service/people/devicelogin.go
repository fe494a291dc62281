package people

import (
	"context"
	"crypto/rand"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

const (
	userCodeLife = 15 * time.Minute
	approvalLife = 10 * time.Minute // of an approved device code, until the node registers
)

// Budgets: user codes tried by one person at all replicas, and by one address; device
// logins started from one address.
const (
	codeEvery, codeBurst             = 12 * time.Second, 30
	loginStartEvery, loginStartBurst = time.Second, 120
)

// DeviceLoginRequest is a node that has proved Key and waits for a person.
type DeviceLoginRequest struct {
	Key                   mesh.Key
	Hostname, OS, Version string
	Prefixes              []netip.Prefix
	From                  netip.Addr
}

// codeLetters are consonants that do not look alike, so that no code spells a word.
const (
	codeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	codeLength  = 8
)

func newUserCode() (string, error) {
	b := make([]byte, codeLength)
	for i := range b {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(codeLetters))))
		if err != nil {
			return "", err
		}
		b[i] = codeLetters[n.Int64()]
	}
	return string(b), nil
}

// ParseUserCode reads a user code as people type it: case, blanks and dashes do not
// matter. The result is XXXX-XXXX; ok is false for text that cannot be a code.
func ParseUserCode(text string) (code string, ok bool) {
	var b strings.Builder
	for _, r := range strings.ToUpper(text) {
		switch {
		case strings.ContainsRune(codeLetters, r):
			b.WriteRune(r)
		case strings.ContainsRune(" -–—_\t", r):
		default:
			return "", false
		}
		if b.Len() > codeLength {
			return "", false
		}
	}
	s := b.String()
	if len(s) != codeLength {
		return "", false
	}
	return s[:4] + "-" + s[4:], true
}

// StartDeviceLogin makes the codes of a device login. It ends an earlier device login
// of the same node key.
func (p *People) StartDeviceLogin(ctx context.Context, r DeviceLoginRequest) (control.DeviceLogin, error) {
	if err := allow(p.logins, r.From, loginStartEvery, "join"); err != nil {
		return control.DeviceLogin{}, err
	}
	d := store.DeviceLogin{Key: r.Key, Hostname: r.Hostname, OS: r.OS, Version: r.Version, Addr: r.From, Prefixes: slices.Compact(slices.Clone(r.Prefixes))}
	for try := 0; ; try++ {
		letters, err := newUserCode()
		if err != nil {
			return control.DeviceLogin{}, err
		}
		user, _ := ParseUserCode(letters)
		code, err := p.store.StartDeviceLogin(ctx, d, user, userCodeLife)
		if mesh.KindOf(err) == mesh.Conflict && try < 5 {
			continue
		}
		if err != nil {
			return control.DeviceLogin{}, err
		}
		page := p.Link("/device")
		return control.DeviceLogin{
			DeviceCode: code, UserCode: user, VerificationURI: page, VerificationURIComplete: page + "?user_code=" + user,
			ExpiresIn: int(userCodeLife / time.Second), Interval: max(1, int(p.cfg.Interval/time.Second)),
		}, nil
	}
}

// guess parses a user code. It counts as one try of the caller and of the address.
func (p *People) guess(ctx context.Context, c Caller, userCode string) (string, error) {
	if err := allow(p.codes, c.From, codeEvery, "find a code"); err != nil {
		return "", err
	}
	if err := p.take(ctx, "code:"+c.UserID, codeEvery, codeBurst, "find a code"); err != nil {
		return "", err
	}
	code, ok := ParseUserCode(userCode)
	if !ok {
		return "", notFound("code")
	}
	return code, nil
}

// PendingNode shows the node that waits with a user code, as ParseUserCode reads it.
// An unknown or expired code is mesh.NotFound; too many tries are mesh.Exhausted.
func (p *People) PendingNode(ctx context.Context, c Caller, userCode string) (control.PendingNode, error) {
	if err := c.may(false); err != nil {
		return control.PendingNode{}, err
	}
	code, err := p.guess(ctx, c, userCode)
	if err != nil {
		return control.PendingNode{}, err
	}
	d, err := p.store.PendingDeviceLogin(ctx, code)
	if err == nil && d.Org != "" {
		if _, _, err := p.enter(ctx, c, string(d.Org), toSee); err != nil { // answered in an organization that the caller does not see
			return control.PendingNode{}, notFound("code")
		}
	}
	return pendingNode(d, code), hide(err, "code")
}

func pendingNode(d store.DeviceLogin, code string) control.PendingNode {
	if d.Key.IsZero() {
		return control.PendingNode{}
	}
	return control.PendingNode{
		UserCode: code, Hostname: d.Hostname, OS: d.OS, Version: d.Version, Address: d.Addr, Key: d.Key,
		Fingerprint: control.Fingerprint(d.Key), Prefixes: d.Prefixes, State: d.State, Expires: d.Expires,
	}
}

// ApproveNode lets the node that waits with the code join one of the caller's
// organizations ("" = the default one). Each code is answered once: the second answer
// is mesh.Conflict.
func (p *People) ApproveNode(ctx context.Context, c Caller, userCode, org string) (control.PendingNode, control.Organization, error) {
	return p.decide(ctx, c, userCode, org, true)
}

// DenyNode refuses the node that waits with the code. Everybody who may approve nodes
// in some organization may do so. The audit of the caller's default organization records
// it or, if the caller may approve nothing there, that of the first other one.
func (p *People) DenyNode(ctx context.Context, c Caller, userCode string) (control.PendingNode, error) {
	if err := c.may(true); err != nil {
		return control.PendingNode{}, err
	}
	orgs, err := p.organizations(ctx, c)
	if err != nil {
		return control.PendingNode{}, err
	}
	at := slices.IndexFunc(orgs, func(o control.Organization) bool { return toApprove.allows(o.Role) })
	if at < 0 {
		return control.PendingNode{}, control.Errorf(mesh.Denied, control.ReasonRole, "people: %s may not approve nodes in any organization, and so cannot deny one", c.Email)
	}
	n, _, err := p.decide(ctx, c, userCode, string(orgs[at].ID), false)
	return n, err
}

func (p *People) decide(ctx context.Context, c Caller, userCode, org string, approve bool) (control.PendingNode, control.Organization, error) {
	ctx, o, err := p.enter(ctx, c, org, toApprove)
	if err != nil {
		return control.PendingNode{}, control.Organization{}, err
	}
	code, err := p.guess(ctx, c, userCode)
	if err != nil {
		return control.PendingNode{}, control.Organization{}, err
	}
	d, err := p.store.DecideDeviceLogin(ctx, o.ID, code, approve, approvalLife)
	if err != nil {
		if mesh.KindOf(err) == mesh.Conflict {
			err = notFound("code") // answered in an organization that the caller does not see
			if _, _, here := p.enter(ctx, c, string(d.Org), toSee); here == nil {
				err = mesh.Errorf(mesh.Conflict, "people: this code has already been answered")
			}
		}
		return control.PendingNode{}, control.Organization{}, hide(err, "code")
	}
	p.log.Info("node "+d.State, "hostname", d.Hostname, "organization", o.Name, "user", c.Email)
	return pendingNode(d, code), o, nil
}

// PollDeviceLogin answers a waiting node that has proved its key. Until a person has
// approved the node, the answer is an error with one of control's device login reasons.
func (p *People) PollDeviceLogin(ctx context.Context, deviceCode string, key mesh.Key, from netip.Addr) (control.DeviceToken, error) {
	ended := control.Errorf(mesh.Denied, control.ReasonExpiredToken, "people: the code has expired or was used; start again")
	if deviceCode == "" || len(deviceCode) > mostSecret {
		return control.DeviceToken{}, ended
	}
	d, before, err := p.store.PollDeviceLogin(ctx, deviceCode, key)
	switch {
	case mesh.KindOf(err) == mesh.NotFound:
		return control.DeviceToken{}, ended
	case err != nil:
		return control.DeviceToken{}, err
	case d.State == store.DeviceDenied:
		return control.DeviceToken{}, control.Errorf(mesh.Denied, control.ReasonAccessDenied, "people: a person denied this node")
	case d.State == store.DeviceApproved:
		o, err := p.store.Organization(ctx, d.Org)
		return control.DeviceToken{Organization: o.Name, Expires: d.Expires}, err
	}
	reason, wait := control.ReasonPending, p.cfg.Interval
	if p.now().Sub(before) < p.cfg.Interval*8/10 {
		reason, wait = control.ReasonSlowDown, p.cfg.Interval+5*time.Second
	}
	e := control.Errorf(mesh.Unavailable, reason, "people: nobody has answered yet")
	e.RetryAfter = wait
	return control.DeviceToken{}, e
}
