package nodes

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Node is a node as its administrator sees it.
type Node struct {
	ID        mesh.NodeID
	Name      string
	Hostname  string // as the node reported it when it registered
	Key       mesh.Key
	OS        string
	Version   string
	Addresses []netip.Addr   // IPv4 first
	Prefixes  []mesh.Holding // held, advertised or not
	Endpoints []netip.AddrPort
	NAT       mesh.NAT
	Created   time.Time
	LastSeen  time.Time
}

// held are the prefixes that the node holds.
func (n Node) held() []netip.Prefix {
	ps := make([]netip.Prefix, len(n.Prefixes))
	for i, h := range n.Prefixes {
		ps[i] = h.Prefix
	}
	return ps
}

// onMap is the node as the network map shows it.
func (n Node) onMap() mesh.Node {
	shown := mesh.Node{
		ID: n.ID, Name: n.Name, Key: n.Key, Addresses: n.Addresses, Prefixes: []netip.Prefix{},
		Endpoints: n.Endpoints, NAT: n.NAT, LastSeen: n.LastSeen,
	}
	for _, h := range n.Prefixes {
		if h.Advertised {
			shown.Prefixes = append(shown.Prefixes, h.Prefix)
		}
	}
	return shown
}

// scope is the condition that limits a statement to an organization or, with a
// non-empty id, to one of its nodes. An index serves both.
func scope(orgColumn, nodeColumn string, org mesh.OrgID, id mesh.NodeID) (where string, args []any) {
	if id == "" {
		return ` WHERE ` + orgColumn + ` = $1`, []any{org}
	}
	return ` WHERE ` + orgColumn + ` = $1 AND ` + nodeColumn + ` = $2`, []any{org, id}
}

// readNodes reads the nodes of an organization by name, or only the node with a
// non-empty id. It takes four statements for any number of nodes.
func readNodes(ctx context.Context, q engine.Queryer, org mesh.OrgID, id mesh.NodeID) ([]Node, error) {
	where, args := scope("org", "id", org, id)
	ds, err := txn.Collect(ctx, q, scanNode, `SELECT id, name, hostname, key, os, version, nat, created, last_seen FROM nodes`+where, args...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(ds, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	at := make(map[mesh.NodeID]*Node, len(ds))
	for i := range ds {
		at[ds[i].ID] = &ds[i]
	}
	if err := attachAddresses(ctx, q, org, id, at); err != nil {
		return nil, err
	}
	where, args = scope("p.org", "p.node", org, id)
	holdings, err := txn.Collect(ctx, q, scanHolding, `SELECT `+holdingColumns+where+` ORDER BY p.family, p.lo`, args...)
	if err != nil {
		return nil, err
	}
	for _, h := range holdings {
		if d := at[h.Holder]; d != nil {
			d.Prefixes = append(d.Prefixes, h)
		}
	}
	return ds, attachEndpoints(ctx, q, org, id, at)
}

func scanNode(scan txn.Scan) (d Node, err error) {
	var key string
	var created, seen int64
	if err := scan(&d.ID, &d.Name, &d.Hostname, &key, &d.OS, &d.Version, &d.NAT, &created, &seen); err != nil {
		return d, err
	}
	d.Created, d.LastSeen = column.ParseTime(created), column.ParseTime(seen)
	d.Addresses, d.Endpoints = []netip.Addr{}, []netip.AddrPort{}
	d.Key, err = mesh.ParseKey(key)
	return d, err
}

func attachAddresses(ctx context.Context, q engine.Queryer, org mesh.OrgID, id mesh.NodeID, at map[mesh.NodeID]*Node) error {
	where, args := scope("org", "node", org, id)
	_, err := txn.Collect(ctx, q, func(scan txn.Scan) (struct{}, error) {
		var node mesh.NodeID
		var text string
		if err := scan(&node, &text); err != nil {
			return struct{}{}, err
		}
		addr, err := column.ParseAddr(text)
		if d := at[node]; d != nil {
			d.Addresses = append(d.Addresses, addr)
		}
		return struct{}{}, err
	}, `SELECT node, addr FROM node_addresses`+where+` AND node IS NOT NULL ORDER BY family, addr`, args...)
	return err
}

func attachEndpoints(ctx context.Context, q engine.Queryer, org mesh.OrgID, id mesh.NodeID, at map[mesh.NodeID]*Node) error {
	where, args := scope("org", "node", org, id)
	_, err := txn.Collect(ctx, q, func(scan txn.Scan) (struct{}, error) {
		var node mesh.NodeID
		var text string
		if err := scan(&node, &text); err != nil {
			return struct{}{}, err
		}
		ep, err := netip.ParseAddrPort(text)
		if d := at[node]; d != nil {
			d.Endpoints = append(d.Endpoints, ep)
		}
		return struct{}{}, err
	}, `SELECT node, addr FROM endpoints`+where+` ORDER BY node, seq`, args...)
	return err
}

// node reads one node inside the transaction.
func (t *Tx) node(ctx context.Context, id mesh.NodeID) (mesh.Node, error) {
	ds, err := readNodes(ctx, t.o, t.o.ID, id)
	if err == nil && len(ds) != 1 {
		err = nodeNotFound(string(id))
	}
	if err != nil {
		return mesh.Node{}, err
	}
	return ds[0].onMap(), nil
}

func nodeNotFound(name string) error { return mesh.Errorf(mesh.NotFound, "store: no node %s", name) }

// NodeByKey finds a node of any organization by its public key.
func (s *Store) NodeByKey(ctx context.Context, key mesh.Key) (org mesh.OrgID, node mesh.NodeID, err error) {
	err = s.db.Read(ctx, "find node", func(q engine.Queryer) error {
		org, node, err = nodeByKey(ctx, q, key)
		return err
	})
	return org, node, err
}

func nodeByKey(ctx context.Context, q engine.Queryer, key mesh.Key) (org mesh.OrgID, node mesh.NodeID, err error) {
	err = q.QueryRow(ctx, `SELECT org, id FROM nodes WHERE key = $1`, key.String()).Scan(&org, &node)
	if engine.IsNoRow(err) {
		return "", "", mesh.Errorf(mesh.NotFound, "store: no node with key %v", key)
	}
	return org, node, err
}

// Nodes lists the nodes of an organization by name.
func (s *Store) Nodes(ctx context.Context, org mesh.OrgID) (ds []Node, err error) {
	err = s.db.Read(ctx, "list nodes", func(q engine.Queryer) error {
		ds, err = readNodes(ctx, q, org, "")
		return err
	})
	return ds, err
}

// Node finds a node by its ID or its name.
func (s *Store) Node(ctx context.Context, org mesh.OrgID, idOrName string) (d Node, err error) {
	err = s.db.Read(ctx, "find node", func(q engine.Queryer) error {
		d, err = readNode(ctx, q, org, idOrName)
		return err
	})
	return d, err
}

// readNode prefers the ID, so a node whose name is another node's ID does not hide that
// node.
func readNode(ctx context.Context, q engine.Queryer, org mesh.OrgID, idOrName string) (Node, error) {
	var id mesh.NodeID
	err := q.QueryRow(ctx, `SELECT id FROM nodes WHERE org = $1 AND (id = $2 OR name = $2)
		ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1`, org, idOrName).Scan(&id)
	if engine.IsNoRow(err) {
		return Node{}, nodeNotFound(idOrName)
	}
	if err != nil {
		return Node{}, err
	}
	ds, err := readNodes(ctx, q, org, id)
	if err == nil && len(ds) != 1 {
		err = nodeNotFound(idOrName)
	}
	if err != nil {
		return Node{}, err
	}
	return ds[0], nil
}

// RemoveNode removes a node, named by ID or name, with its sessions and endpoints. It
// releases the node's prefixes and addresses and forgets its key. It returns the node as
// it was.
func (s *Store) RemoveNode(ctx context.Context, org mesh.OrgID, idOrName string) (d Node, err error) {
	err = s.update(ctx, "remove node", org, func(t *Tx) error {
		d, err = t.remove(ctx, idOrName, nil)
		return err
	})
	if err != nil {
		return Node{}, err
	}
	return d, nil
}

// remove does the work of RemoveNode in a transaction. after is what the audit shows as the
// node's new state.
func (t *Tx) remove(ctx context.Context, idOrName string, after any) (Node, error) {
	d, err := readNode(ctx, t.o, t.o.ID, idOrName)
	if err != nil {
		return Node{}, err
	}
	if err := t.IPAM().Free(ctx, d.ID, t.o.Now); err != nil {
		return Node{}, err
	}
	if _, err := t.o.Exec(ctx, `DELETE FROM device_logins WHERE org = $1 AND node_key = $2`, t.o.ID, d.Key.String()); err != nil {
		return Node{}, err
	}
	for _, table := range []string{"prefixes", "endpoints", "sessions"} {
		if _, err := t.o.Exec(ctx, `DELETE FROM `+table+` WHERE org = $1 AND node = $2`, t.o.ID, d.ID); err != nil {
			return Node{}, err
		}
	}
	if err := txn.ChangedOne(t.o.ExecMap(ctx, `DELETE FROM nodes WHERE org = $1 AND id = $2`, t.o.ID, d.ID)); err != nil {
		return Node{}, err
	}
	return d, t.auditNode(ctx, d.Name, "node.remove", d.Name, map[string]any{"id": d.ID, "key": d.Key, "addresses": d.Addresses, "prefixes": d.held()}, after)
}

// Touch marks nodes as seen now. It raises no counter and ignores unknown nodes.
func (s *Store) Touch(ctx context.Context, org mesh.OrgID, nodes ...mesh.NodeID) error {
	if len(nodes) == 0 {
		return nil
	}
	return s.db.Write(ctx, "touch nodes", func(tx *txn.Tx) error {
		now := column.Time(s.db.Now())
		for _, id := range nodes {
			_, err := tx.Exec(ctx, `UPDATE nodes SET last_seen = $3 WHERE org = $1 AND id = $2 AND last_seen < $3`, org, id, now)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
