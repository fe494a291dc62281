-- One text for SQLite and PostgreSQL. Addresses are lower-case hexadecimal of
-- fixed width, so that their order is the order of addresses in every collation;
-- times are microseconds since 1970, 0 = never; hashes are hexadecimal SHA-256.

-- +goose Up
CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

CREATE TABLE users (
	id            TEXT   NOT NULL PRIMARY KEY,
	email         TEXT   NOT NULL UNIQUE,
	password_hash TEXT   NOT NULL,
	created       BIGINT NOT NULL
);

CREATE TABLE organizations (
	id      TEXT   NOT NULL PRIMARY KEY,
	name    TEXT   NOT NULL UNIQUE,
	rev     BIGINT NOT NULL DEFAULT 1,
	pool4   TEXT   NOT NULL,
	pool6   TEXT   NOT NULL,
	created BIGINT NOT NULL
);

-- Apart from organizations, so that endpoint reports do not wait for its row.
CREATE TABLE endpoint_revs (
	org TEXT   NOT NULL PRIMARY KEY REFERENCES organizations (id),
	rev BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE memberships (
	org     TEXT   NOT NULL REFERENCES organizations (id),
	user_id TEXT   NOT NULL REFERENCES users (id),
	role    TEXT   NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (org, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE registration_keys (
	org         TEXT    NOT NULL REFERENCES organizations (id),
	id          TEXT    NOT NULL,
	hash        TEXT    NOT NULL UNIQUE,
	prefix      TEXT    NOT NULL,
	description TEXT    NOT NULL,
	reusable    BOOLEAN NOT NULL,
	uses_left   BIGINT  NOT NULL,
	used        BIGINT  NOT NULL DEFAULT 0,
	expires     BIGINT  NOT NULL,
	revoked     BIGINT  NOT NULL DEFAULT 0,
	created     BIGINT  NOT NULL,
	last_used   BIGINT  NOT NULL DEFAULT 0,
	PRIMARY KEY (org, id),
	CHECK (uses_left >= 0)
);

CREATE TABLE nodes (
	org       TEXT   NOT NULL REFERENCES organizations (id),
	id        TEXT   NOT NULL,
	name      TEXT   NOT NULL,
	key       TEXT   NOT NULL UNIQUE,
	hostname  TEXT   NOT NULL,
	os        TEXT   NOT NULL,
	version   TEXT   NOT NULL,
	created   BIGINT NOT NULL,
	last_seen BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (org, id),
	UNIQUE (org, name)
);

-- A row without node is an address that rests since its release.
CREATE TABLE node_addresses (
	org      TEXT    NOT NULL REFERENCES organizations (id),
	family   INTEGER NOT NULL,
	addr     TEXT    NOT NULL,
	node     TEXT,
	released BIGINT  NOT NULL DEFAULT 0,
	PRIMARY KEY (org, family, addr),
	FOREIGN KEY (org, node) REFERENCES nodes (org, id)
);
CREATE UNIQUE INDEX node_addresses_node ON node_addresses (org, node, family, addr);

-- The held prefixes of an organization are disjoint: ipam sees to it, under the
-- lock of the organization's row.
CREATE TABLE prefixes (
	org        TEXT    NOT NULL REFERENCES organizations (id),
	family     INTEGER NOT NULL,
	lo         TEXT    NOT NULL,
	bits       INTEGER NOT NULL,
	node       TEXT    NOT NULL,
	advertised BOOLEAN NOT NULL,
	created    BIGINT  NOT NULL,
	PRIMARY KEY (org, family, lo),
	FOREIGN KEY (org, node) REFERENCES nodes (org, id)
);
CREATE UNIQUE INDEX prefixes_node ON prefixes (org, node, family, lo);

CREATE TABLE endpoints (
	org  TEXT    NOT NULL,
	node TEXT    NOT NULL,
	seq  INTEGER NOT NULL,
	addr TEXT    NOT NULL,
	PRIMARY KEY (org, node, seq),
	FOREIGN KEY (org, node) REFERENCES nodes (org, id)
);

CREATE TABLE sessions (
	hash    TEXT   NOT NULL PRIMARY KEY,
	org     TEXT   NOT NULL,
	node    TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	FOREIGN KEY (org, node) REFERENCES nodes (org, id)
);
CREATE INDEX sessions_node ON sessions (org, node);
CREATE INDEX sessions_expires ON sessions (expires);

-- +goose Down
DROP TABLE sessions;
DROP TABLE endpoints;
DROP TABLE prefixes;
DROP TABLE node_addresses;
DROP TABLE nodes;
DROP TABLE registration_keys;
DROP TABLE memberships;
DROP TABLE endpoint_revs;
DROP TABLE organizations;
DROP TABLE users;
DROP TABLE meta;
