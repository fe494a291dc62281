package store

import (
	"context"
	"net/netip"
	"time"

	"nexd/ipam"
	"nexd/mesh"
)

var _ ipam.Ledger = (*Tx)(nil)

// AddressOf implements ipam.AddressLedger.
func (t *Tx) AddressOf(ctx context.Context, owner mesh.NodeID, pool netip.Prefix) (netip.Addr, bool, error) {
	first, last := ipam.Range(pool)
	return t.oneAddress(ctx, `SELECT addr FROM node_addresses
		WHERE org = $1 AND node = $2 AND family = $3 AND addr BETWEEN $4 AND $5`,
		t.org.ID, owner, family(first), addrText(first), addrText(last))
}

// LastAddress implements ipam.AddressLedger.
func (t *Tx) LastAddress(ctx context.Context, pool netip.Prefix) (netip.Addr, bool, error) {
	first, last := ipam.Range(pool)
	return t.oneAddress(ctx, `SELECT addr FROM node_addresses
		WHERE org = $1 AND family = $2 AND addr BETWEEN $3 AND $4 ORDER BY addr DESC LIMIT 1`,
		t.org.ID, family(first), addrText(first), addrText(last))
}

func (t *Tx) oneAddress(ctx context.Context, query string, args ...any) (netip.Addr, bool, error) {
	var text string
	err := t.tx.QueryRow(ctx, query, args...).Scan(&text)
	if isNoRow(err) {
		return netip.Addr{}, false, nil
	}
	if err != nil {
		return netip.Addr{}, false, err
	}
	addr, err := parseAddrText(text)
	return addr, err == nil, err
}

// ScanAddresses implements ipam.AddressLedger.
func (t *Tx) ScanAddresses(ctx context.Context, pool netip.Prefix, from netip.Addr, limit int) ([]ipam.Address, error) {
	_, last := ipam.Range(pool)
	return collect(ctx, t.tx, scanAddress, `SELECT addr, COALESCE(node, ''), released FROM node_addresses
		WHERE org = $1 AND family = $2 AND addr BETWEEN $3 AND $4 ORDER BY addr LIMIT $5`,
		t.org.ID, family(last), addrText(from), addrText(last), limit)
}

func scanAddress(scan func(...any) error) (a ipam.Address, err error) {
	var text string
	var released int64
	if err := scan(&text, &a.Owner, &released); err != nil {
		return a, err
	}
	a.Released = toTime(released)
	a.Addr, err = parseAddrText(text)
	return a, err
}

// ClaimAddress implements ipam.AddressLedger.
func (t *Tx) ClaimAddress(ctx context.Context, addr netip.Addr, owner mesh.NodeID) error {
	return changedOne(t.execShown(ctx, `INSERT INTO node_addresses (org, family, addr, node) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, family, addr) DO UPDATE SET node = excluded.node, released = 0 WHERE node_addresses.node IS NULL`,
		t.org.ID, family(addr), addrText(addr), owner))
}

// RestAddresses implements ipam.AddressLedger.
func (t *Tx) RestAddresses(ctx context.Context, owner mesh.NodeID, at time.Time) error {
	_, err := t.execShown(ctx, `UPDATE node_addresses SET node = NULL, released = $3 WHERE org = $1 AND node = $2`,
		t.org.ID, owner, fromTime(at))
	return err
}

const holdingColumns = `p.lo, p.bits, p.node, n.name, n.last_seen, p.advertised
	FROM prefixes p JOIN nodes n ON n.org = p.org AND n.id = p.node`

func scanHolding(scan func(...any) error) (h mesh.Holding, err error) {
	var lo string
	var bits int
	var seen int64
	if err := scan(&lo, &bits, &h.Holder, &h.HolderName, &seen, &h.Advertised); err != nil {
		return h, err
	}
	h.LastSeen = toTime(seen)
	h.Prefix, err = parsePrefixText(lo, bits)
	return h, err
}

// Overlapping implements ipam.PrefixLedger with one step in the primary key; see
// ipam.PrefixLedger for why it is enough.
func (t *Tx) Overlapping(ctx context.Context, p netip.Prefix) (mesh.Holding, bool, error) {
	first, last := ipam.Range(p)
	h, err := scanHolding(t.tx.QueryRow(ctx, `SELECT `+holdingColumns+`
		WHERE p.org = $1 AND p.family = $2 AND p.lo <= $3 ORDER BY p.lo DESC LIMIT 1`,
		t.org.ID, family(first), addrText(last)).Scan)
	if isNoRow(err) {
		return mesh.Holding{}, false, nil
	}
	if err != nil || !h.Prefix.Overlaps(p) {
		return mesh.Holding{}, false, err
	}
	return h, true, nil
}

// CountPrefixes implements ipam.PrefixLedger.
func (t *Tx) CountPrefixes(ctx context.Context, owner mesh.NodeID) (n int, err error) {
	err = t.tx.QueryRow(ctx, `SELECT COUNT(*) FROM prefixes WHERE org = $1 AND node = $2`, t.org.ID, owner).Scan(&n)
	return n, err
}

// HoldPrefix implements ipam.PrefixLedger. What is held only is not yet shown.
func (t *Tx) HoldPrefix(ctx context.Context, p netip.Prefix, owner mesh.NodeID) error {
	_, err := t.exec(ctx, `INSERT INTO prefixes (org, family, lo, bits, node, advertised, created)
		VALUES ($1, $2, $3, $4, $5, FALSE, $6)`,
		t.org.ID, family(p.Addr()), addrText(p.Addr()), p.Bits(), owner, fromTime(t.now))
	return err
}

// DropPrefix implements ipam.PrefixLedger.
func (t *Tx) DropPrefix(ctx context.Context, p netip.Prefix) error {
	var advertised bool
	err := t.tx.QueryRow(ctx, `DELETE FROM prefixes WHERE org = $1 AND family = $2 AND lo = $3 AND bits = $4 RETURNING advertised`,
		t.org.ID, family(p.Addr()), addrText(p.Addr()), p.Bits()).Scan(&advertised)
	t.shown = t.shown || advertised
	return err
}
