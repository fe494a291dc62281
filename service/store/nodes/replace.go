package nodes

import (
	"context"
	"errors"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Reasons of errors of Register.
var (
	ErrReplaced = errors.New("this node was replaced")         // it registers again; mesh.Denied
	ErrHeld     = errors.New("another node is to be replaced") // it has not been offline for long enough; mesh.Unavailable
)

// replacedLife is how long the store remembers a replaced node.
const replacedLife = 90 * 24 * time.Hour

// namesake is a node with the host name and the registration key of a node that joins.
type namesake struct {
	id   mesh.NodeID
	seen time.Time
}

// namesakes are the nodes with a registration's host name that joined with the same key.
func (t *Tx) namesakes(ctx context.Context, hostname, keyID string) ([]namesake, error) {
	return txn.Collect(ctx, t.o, func(scan txn.Scan) (n namesake, err error) {
		var seen int64
		err = scan(&n.id, &seen)
		n.seen = column.ParseTime(seen)
		return n, err
	}, `SELECT id, last_seen FROM nodes WHERE org = $1 AND hostname = $2 AND reg_key = $3 ORDER BY created, id`,
		t.o.ID, column.Clip(hostname), keyID)
}

// makeRoom removes the namesakes that were last seen before offlineSince, and returns the others.
// It removes nothing if offlineSince is the zero time.
func (t *Tx) makeRoom(ctx context.Context, hostname string, k RegistrationKey, offlineSince time.Time) (rest []namesake, err error) {
	all, err := t.namesakes(ctx, hostname, k.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if offlineSince.IsZero() || !n.seen.Before(offlineSince) {
			rest = append(rest, n)
			continue
		}
		d, err := t.remove(ctx, string(n.id), map[string]any{"replaced": true, "by": k.label()})
		if err != nil {
			return nil, err
		}
		_, err = t.o.Exec(ctx, `INSERT INTO replaced_nodes (org, key, name, at) VALUES ($1, $2, $3, $4)`,
			t.o.ID, d.Key.String(), d.Name, column.Time(t.o.Now))
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// waitForRoom turns a conflict with one of the namesakes into a mesh.Unavailable error: the node
// tries again, and the namesake makes room once it has been offline for long enough.
func waitForRoom(err error, rest []namesake) error {
	var c *ipam.ConflictError
	if !errors.As(err, &c) {
		return err
	}
	for _, n := range rest {
		if n.id == c.Holding.Holder {
			return mesh.Errorf(mesh.Unavailable, "store: %w: prefix %v is held by %s, last seen %s, which makes room after it has been offline for %v; if it is to stay, give this node another --hostname",
				ErrHeld, c.Prefix, c.Holding.HolderName, n.seen.UTC().Format(time.RFC3339), ReplaceAfter)
		}
	}
	return err
}

// ReplaceAfter is how long a node must be offline before another one replaces it. A running node
// is marked as seen every half minute.
const ReplaceAfter = time.Minute

// notReplaced is an error if a node key belongs to a node of the organization that was replaced.
func (t *Tx) notReplaced(ctx context.Context, key mesh.Key) error {
	var name string
	var at int64
	err := t.o.QueryRow(ctx, `SELECT name, at FROM replaced_nodes WHERE org = $1 AND key = $2`, t.o.ID, key.String()).Scan(&name, &at)
	if engine.IsNoRow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return mesh.Errorf(mesh.Denied, "store: %w: a new node with the host name and the registration key of %s took its place at %s; to join as another node, use an empty --state-dir",
		ErrReplaced, name, column.ParseTime(at).UTC().Format(time.RFC3339))
}

// PurgeReplaced forgets the nodes that were replaced long before now.
func PurgeReplaced(ctx context.Context, tx *txn.Tx) (int64, error) {
	return tx.Exec(ctx, `DELETE FROM replaced_nodes WHERE at <= $1`, column.Time(tx.Now.Add(-replacedLife)))
}
