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

var _ ipam.Ledger = (*Tx)(nil)

// AddressOf implements ipam.AddressLedger.
func (t *Tx) AddressOf(ctx context.Context, owner mesh.NodeID, pool netip.Prefix) (netip.Addr, bool, error) {
	first, last := ipam.Range(pool)
	return t.oneAddress(ctx, `SELECT addr FROM node_addresses
		WHERE org = $1 AND node = $2 AND family = $3 AND addr BETWEEN $4 AND $5`,
		t.o.ID, owner, column.Family(first), column.Addr(first), column.Addr(last))
}

// LastAddress implements ipam.AddressLedger.
func (t *Tx) LastAddress(ctx context.Context, pool netip.Prefix) (netip.Addr, bool, error) {
	first, last := ipam.Range(pool)
	return t.oneAddress(ctx, `SELECT addr FROM node_addresses
		WHERE org = $1 AND family = $2 AND addr BETWEEN $3 AND $4 ORDER BY addr DESC LIMIT 1`,
		t.o.ID, column.Family(first), column.Addr(first), column.Addr(last))
}

func (t *Tx) oneAddress(ctx context.Context, query string, args ...any) (netip.Addr, bool, error) {
	var text string
	err := t.o.QueryRow(ctx, query, args...).Scan(&text)
	if engine.IsNoRow(err) {
		return netip.Addr{}, false, nil
	}
	if err != nil {
		return netip.Addr{}, false, err
	}
	addr, err := column.ParseAddr(text)
	return addr, err == nil, err
}

// ScanAddresses implements ipam.AddressLedger.
func (t *Tx) ScanAddresses(ctx context.Context, pool netip.Prefix, from netip.Addr, limit int) ([]ipam.Address, error) {
	_, last := ipam.Range(pool)
	return txn.Collect(ctx, t.o, scanAddress, `SELECT addr, COALESCE(node, ''), released FROM node_addresses
		WHERE org = $1 AND family = $2 AND addr BETWEEN $3 AND $4 ORDER BY addr LIMIT $5`,
		t.o.ID, column.Family(last), column.Addr(from), column.Addr(last), limit)
}

func scanAddress(scan txn.Scan) (a ipam.Address, err error) {
	var text string
	var released int64
	if err := scan(&text, &a.Owner, &released); err != nil {
		return a, err
	}
	a.Released = column.ParseTime(released)
	a.Addr, err = column.ParseAddr(text)
	return a, err
}

// ClaimAddress implements ipam.AddressLedger.
func (t *Tx) ClaimAddress(ctx context.Context, addr netip.Addr, owner mesh.NodeID) error {
	return txn.ChangedOne(t.o.ExecMap(ctx, `INSERT INTO node_addresses (org, family, addr, node) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, family, addr) DO UPDATE SET node = excluded.node, released = 0 WHERE node_addresses.node IS NULL`,
		t.o.ID, column.Family(addr), column.Addr(addr), owner))
}

// RestAddresses implements ipam.AddressLedger.
func (t *Tx) RestAddresses(ctx context.Context, owner mesh.NodeID, at time.Time) error {
	_, err := t.o.ExecMap(ctx, `UPDATE node_addresses SET node = NULL, released = $3 WHERE org = $1 AND node = $2`,
		t.o.ID, owner, column.Time(at))
	return err
}

const holdingColumns = `p.lo, p.bits, p.node, n.name, n.last_seen, p.advertised
	FROM prefixes p JOIN nodes n ON n.org = p.org AND n.id = p.node`

func scanHolding(scan txn.Scan) (h mesh.Holding, err error) {
	var lo string
	var bits int
	var seen int64
	if err := scan(&lo, &bits, &h.Holder, &h.HolderName, &seen, &h.Advertised); err != nil {
		return h, err
	}
	h.LastSeen = column.ParseTime(seen)
	h.Prefix, err = column.ParsePrefix(lo, bits)
	return h, err
}

// Overlapping implements ipam.PrefixLedger with one look-up in the primary key;
// ipam.PrefixLedger explains why one is enough.
func (t *Tx) Overlapping(ctx context.Context, p netip.Prefix) (mesh.Holding, bool, error) {
	first, last := ipam.Range(p)
	h, err := scanHolding(t.o.QueryRow(ctx, `SELECT `+holdingColumns+`
		WHERE p.org = $1 AND p.family = $2 AND p.lo <= $3 ORDER BY p.lo DESC LIMIT 1`,
		t.o.ID, column.Family(first), column.Addr(last)).Scan)
	if engine.IsNoRow(err) {
		return mesh.Holding{}, false, nil
	}
	if err != nil || !h.Prefix.Overlaps(p) {
		return mesh.Holding{}, false, err
	}
	return h, true, nil
}

// CountPrefixes implements ipam.PrefixLedger.
func (t *Tx) CountPrefixes(ctx context.Context, owner mesh.NodeID) (n int, err error) {
	err = t.o.QueryRow(ctx, `SELECT COUNT(*) FROM prefixes WHERE org = $1 AND node = $2`, t.o.ID, owner).Scan(&n)
	return n, err
}

// HoldPrefix implements ipam.PrefixLedger. The network map does not show a prefix before
// its node advertises it.
func (t *Tx) HoldPrefix(ctx context.Context, p netip.Prefix, owner mesh.NodeID) error {
	_, err := t.o.Exec(ctx, `INSERT INTO prefixes (org, family, lo, bits, node, advertised, created)
		VALUES ($1, $2, $3, $4, $5, FALSE, $6)`,
		t.o.ID, column.Family(p.Addr()), column.Addr(p.Addr()), p.Bits(), owner, column.Time(t.o.Now))
	return err
}

// DropPrefix implements ipam.PrefixLedger.
func (t *Tx) DropPrefix(ctx context.Context, p netip.Prefix) error {
	var advertised bool
	err := t.o.QueryRow(ctx, `DELETE FROM prefixes WHERE org = $1 AND family = $2 AND lo = $3 AND bits = $4 RETURNING advertised`,
		t.o.ID, column.Family(p.Addr()), column.Addr(p.Addr()), p.Bits()).Scan(&advertised)
	t.o.MapChanged = t.o.MapChanged || advertised
	return err
}
