package nodes

import (
	"context"
	"net/netip"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Registration is the request of a node that joins. The service has already checked
// that the node has the private key of Key.
type Registration struct {
	Key             mesh.Key
	RegistrationKey string // secret; a known Key needs none and uses none up
	Approval        string // approved device code, instead of RegistrationKey
	Hostname        string
	OS              string
	Version         string
	Prefixes        []netip.Prefix   // all prefixes that the node advertises from now on
	Endpoints       []netip.AddrPort // all endpoints, at most MaxEndpoints
	NAT             mesh.NAT
	// OfflineSince: nodes that were last seen before it are offline, so a node with a key that
	// Replaces takes their place. The zero time means that no node is known to be offline.
	OfflineSince time.Time
}

// Registered is the answer to a Registration. A known node key gets the same node, name
// and addresses again.
type Registered struct {
	Organization txn.Organization
	Node         mesh.Node // the service sets Online
	New          bool
}

// Register adds a node, or finds it again, in one transaction: it takes the use of the
// registration key, the name, the addresses and the prefixes, or none of them.
// Its errors are mesh.Denied without a usable registration key, mesh.Conflict if another
// organization has the node key, and those of SetAdvertised.
func (s *Store) Register(ctx context.Context, r Registration) (Registered, error) {
	if r.Key.IsZero() {
		return Registered{}, mesh.Errorf(mesh.Invalid, "store: the node's public key is all zeros")
	}
	if err := checkEndpoints(r.Endpoints); err != nil {
		return Registered{}, err
	}
	org, err := s.homeOf(ctx, r)
	if err != nil {
		return Registered{}, err
	}
	var out Registered
	err = s.update(ctx, "register node", org, func(t *Tx) error {
		out, err = t.register(ctx, r)
		return err
	})
	if err != nil {
		return Registered{}, err
	}
	return out, nil
}

// homeOf is the organization of a registration: the node's, if the node is known, else
// the registration key's.
func (s *Store) homeOf(ctx context.Context, r Registration) (home mesh.OrgID, err error) {
	err = s.db.Read(ctx, "find node", func(q engine.Queryer) error {
		known, _, err := nodeByKey(ctx, q, r.Key)
		if err != nil && mesh.KindOf(err) != mesh.NotFound {
			return err
		}
		home = known
		var target mesh.OrgID
		switch {
		case r.RegistrationKey != "":
			var o txn.Organization
			o, err = keyOrganization(ctx, q, r.RegistrationKey)
			target = o.ID
		case r.Approval != "":
			target, err = approvalOrganization(ctx, q, r.Approval, r.Key)
		case known == "":
			return errNoKey()
		default:
			return nil
		}
		switch {
		case err != nil && known != "": // a known node needs no key, so a bad key does no harm
			return nil
		case err != nil:
			return err
		case known != "" && known != target:
			return errElsewhere(r.Key)
		}
		home = target
		return nil
	})
	return home, err
}

func errNoKey() error {
	return mesh.Errorf(mesh.Denied, "store: this node is not known here; it needs a registration key to join")
}

func errElsewhere(key mesh.Key) error {
	return mesh.Errorf(mesh.Conflict, "store: node key %v belongs to another organization; remove the node there, or join with another --state-dir", key)
}

func (t *Tx) register(ctx context.Context, r Registration) (Registered, error) {
	out := Registered{Organization: t.o.Organization}
	var rest []namesake // those that the node may replace later
	id, err := t.nodeByKey(ctx, r.Key)
	if err != nil {
		return out, err
	}
	if id == "" {
		out.New = true
		id, rest, err = t.addNode(ctx, r)
	} else {
		_, err = t.o.Exec(ctx, `UPDATE nodes SET os = $3, version = $4, last_seen = $5 WHERE org = $1 AND id = $2`,
			t.o.ID, id, column.Clip(r.OS), column.Clip(r.Version), column.Time(t.o.Now))
	}
	if err != nil {
		return out, err
	}
	if _, err := t.IPAM().Allocate(ctx, id, t.o.Now); err != nil {
		return out, err
	}
	if err := t.Advertise(ctx, id, r.Prefixes); err != nil {
		return out, waitForRoom(err, rest)
	}
	if err := t.setEndpoints(ctx, id, r.Endpoints, r.NAT); err != nil {
		return out, err
	}
	out.Node, err = t.node(ctx, id)
	return out, err
}

// nodeByKey is the ID of the organization's node with a key, or empty.
func (t *Tx) nodeByKey(ctx context.Context, key mesh.Key) (id mesh.NodeID, err error) {
	err = t.o.QueryRow(ctx, `SELECT id FROM nodes WHERE org = $1 AND key = $2`, t.o.ID, key.String()).Scan(&id)
	if engine.IsNoRow(err) {
		return "", nil
	}
	return id, err
}

// addNode adds a new node, and removes those that it replaces. rest are the nodes that it may
// replace later.
func (t *Tx) addNode(ctx context.Context, r Registration) (id mesh.NodeID, rest []namesake, err error) {
	if err := t.notReplaced(ctx, r.Key); err != nil {
		return "", nil, err
	}
	k, how, err := t.admit(ctx, r)
	if err != nil {
		return "", nil, err
	}
	if k.Replaces {
		if rest, err = t.makeRoom(ctx, r.Hostname, k, r.OfflineSince); err != nil {
			return "", nil, err
		}
	}
	name, err := ipam.UniqueName(ctx, r.Hostname, t.nameTaken)
	if err != nil {
		return "", nil, err
	}
	id = mesh.NodeID(column.NewID())
	_, err = t.o.ExecMap(ctx, `INSERT INTO nodes (org, id, name, key, hostname, os, version, created, last_seen, reg_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
		t.o.ID, id, name, r.Key.String(), column.Clip(r.Hostname), column.Clip(r.OS), column.Clip(r.Version), column.Time(t.o.Now), k.ID)
	if engine.IsDuplicate(err) {
		return "", nil, errElsewhere(r.Key)
	}
	if err != nil {
		return "", nil, err
	}
	return id, rest, t.auditNode(ctx, name, "node.register", name, nil, map[string]any{"id": id, "key": r.Key, "os": column.Clip(r.OS), "by": how})
}

// admit takes one use of the key or the approval that lets a new node in. It returns the key,
// if there is one, and the name of either for the audit.
func (t *Tx) admit(ctx context.Context, r Registration) (RegistrationKey, string, error) {
	if r.RegistrationKey == "" && r.Approval != "" {
		return RegistrationKey{}, "approval", t.useApproval(ctx, r)
	}
	shown := r.RegistrationKey[:min(len(r.RegistrationKey), shownOfKey)]
	k, err := t.useKey(ctx, r.RegistrationKey)
	return k, "key " + shown + "…", err
}

func (t *Tx) nameTaken(ctx context.Context, name string) (bool, error) {
	var n int
	err := t.o.QueryRow(ctx, `SELECT COUNT(*) FROM nodes WHERE org = $1 AND name = $2`, t.o.ID, name).Scan(&n)
	return n > 0, err
}

func scanString(scan txn.Scan) (s string, err error) {
	err = scan(&s)
	return s, err
}
