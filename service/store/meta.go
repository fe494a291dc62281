package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"nexd/mesh"
	"nexd/service/store/accounts"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/nodes"
	"nexd/service/store/txn"
)

// Meta is what all replicas share. Bootstrap or Prepare makes it once for a database.
type Meta struct {
	Epoch     string // of mesh.Version: random, new after a restore
	Secret    []byte // 32 random bytes; the service derives its keys from it
	TLSCert   []byte // PEM; empty without a TLS key of its own
	TLSKey    []byte // PEM
	PublicURL string // as given to bootstrap; may be empty
	Created   time.Time
}

// BootstrapParams are the first user, organization and key of a database.
type BootstrapParams struct {
	Email            string
	PasswordHash     string // opaque here: the service's encoded argon2id
	OrganizationName string // "" = "default"
	TLSCert, TLSKey  []byte // PEM, made by the service
	PublicURL        string
	Key              *KeyParams // first registration key; nil = none
}

// Bootstrapped is what Bootstrap made. KeySecret is the secret of the first registration
// key; the store does not keep it.
type Bootstrapped struct {
	Meta         Meta
	User         User
	Organization Organization
	Key          RegistrationKey
	KeySecret    string
}

// Bootstrap fills an empty database. A database that is not empty is a mesh.Conflict
// error.
func (s *Store) Bootstrap(ctx context.Context, p BootstrapParams) (Bootstrapped, error) {
	if p.OrganizationName == "" {
		p.OrganizationName = "default"
	}
	var out Bootstrapped
	err := s.db.Write(ctx, "bootstrap", func(tx *txn.Tx) (err error) {
		if err := s.checkEmpty(ctx, tx); err != nil {
			return err
		}
		if out.Meta, err = newMeta(ctx, tx, p); err != nil {
			return err
		}
		if out.User, err = accounts.InsertUser(ctx, tx, User{Email: p.Email, PasswordHash: p.PasswordHash}); err != nil {
			return err
		}
		if out.Organization, err = accounts.InsertOrganization(ctx, tx, p.OrganizationName, out.User.ID); err != nil {
			return err
		}
		out.User.DefaultOrg = out.Organization.ID
		if _, err := tx.Exec(ctx, `UPDATE users SET default_org = $1 WHERE id = $2`, out.Organization.ID, out.User.ID); err != nil {
			return err
		}
		if p.Key != nil {
			out.Key, out.KeySecret, err = nodes.InsertKey(ctx, tx, out.Organization.ID, *p.Key)
		}
		return err
	})
	if err != nil {
		return Bootstrapped{}, err
	}
	return out, nil
}

func (s *Store) checkEmpty(ctx context.Context, q engine.Queryer) error {
	var rows int
	err := q.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM meta) + (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM organizations)`).Scan(&rows)
	if err == nil && rows > 0 {
		return mesh.Errorf(mesh.Conflict, "store: database %s is not empty: it was set up before, and bootstrap leaves it unchanged", s.db.Name())
	}
	return err
}

// Names of the rows of table meta.
const (
	metaEpoch     = nodes.EpochRow
	metaSecret    = "secret"
	metaTLSCert   = "tls_cert"
	metaTLSKey    = "tls_key"
	metaPublicURL = "public_url"
	metaCreated   = "created"
)

func newMeta(ctx context.Context, tx *txn.Tx, p BootstrapParams) (Meta, error) {
	m := Meta{Epoch: column.NewID(), Secret: make([]byte, 32), TLSCert: p.TLSCert, TLSKey: p.TLSKey, PublicURL: p.PublicURL, Created: tx.Now}
	if _, err := rand.Read(m.Secret); err != nil {
		return Meta{}, err
	}
	for name, value := range map[string]string{
		metaEpoch: m.Epoch, metaSecret: hex.EncodeToString(m.Secret),
		metaTLSCert: string(m.TLSCert), metaTLSKey: string(m.TLSKey),
		metaPublicURL: m.PublicURL, metaCreated: strconv.FormatInt(column.Time(tx.Now), 10),
	} {
		if _, err := tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, name, value); err != nil {
			return Meta{}, err
		}
	}
	return m, nil
}

// Meta reads what all replicas share. If the database is empty, it is a mesh.NotFound
// error that names the command to run.
func (s *Store) Meta(ctx context.Context) (Meta, error) {
	var m Meta
	err := s.db.Read(ctx, "read meta", func(q engine.Queryer) (err error) {
		m, err = s.readMeta(ctx, q)
		return err
	})
	return m, err
}

func (s *Store) readMeta(ctx context.Context, q engine.Queryer) (m Meta, err error) {
	values := map[string]string{}
	_, err = txn.Collect(ctx, q, func(scan txn.Scan) (struct{}, error) {
		var name, value string
		err := scan(&name, &value)
		values[name] = value
		return struct{}{}, err
	}, `SELECT name, value FROM meta`)
	if err != nil {
		return Meta{}, err
	}
	if values[metaEpoch] == "" {
		return Meta{}, s.notBootstrapped()
	}
	m = Meta{Epoch: values[metaEpoch], TLSCert: []byte(values[metaTLSCert]), TLSKey: []byte(values[metaTLSKey]), PublicURL: values[metaPublicURL]}
	if m.Secret, err = hex.DecodeString(values[metaSecret]); err != nil || len(m.Secret) != 32 {
		return Meta{}, fmt.Errorf("store: the database secret is damaged") // never shown
	}
	created, err := strconv.ParseInt(values[metaCreated], 10, 64)
	m.Created = column.ParseTime(created)
	return m, err
}

func (s *Store) notBootstrapped() error {
	return mesh.Errorf(mesh.NotFound, "store: database %s is empty; fill it with: nexservice bootstrap --db=%s", s.db.Name(), s.db.Name())
}

// PrepareParams are what a service needs before it has users.
type PrepareParams struct {
	TLSCert, TLSKey []byte // PEM
	PublicURL       string
}

// Prepare makes the Meta of an empty database, without a user, or returns the Meta that
// the database has.
func (s *Store) Prepare(ctx context.Context, p PrepareParams) (m Meta, err error) {
	err = s.db.Write(ctx, "prepare", func(tx *txn.Tx) error {
		m, err = s.readMeta(ctx, tx)
		if mesh.KindOf(err) == mesh.NotFound {
			m, err = newMeta(ctx, tx, BootstrapParams{TLSCert: p.TLSCert, TLSKey: p.TLSKey, PublicURL: p.PublicURL})
		}
		return err
	})
	return m, err
}

// RenewEpoch gives the database a new epoch after a restore from a backup, so that agents
// accept its maps even if their revisions are lower. The service reads the epoch with
// every Snapshot and need not restart.
func (s *Store) RenewEpoch(ctx context.Context) (epoch string, err error) {
	epoch = column.NewID()
	err = s.db.Write(ctx, "renew epoch", func(tx *txn.Tx) error {
		changed, err := tx.Exec(ctx, `UPDATE meta SET value = $2 WHERE name = $1`, metaEpoch, epoch)
		if err == nil && changed == 0 {
			err = s.notBootstrapped()
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE organizations SET rev = rev + 1`) // so that pollers look
		return err
	})
	if err != nil {
		return "", err
	}
	return epoch, nil
}
