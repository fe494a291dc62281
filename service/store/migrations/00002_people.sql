-- People: how they sign in, what they may do, what they did. Times, hashes and
-- addresses are as in 00001.

-- +goose Up
ALTER TABLE users ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- Where nodes that the person approves go by default; empty, or an organization.
ALTER TABLE users ADD COLUMN default_org TEXT NOT NULL DEFAULT '';

-- A person of an identity provider is known by issuer and subject alone.
CREATE TABLE identities (
	issuer  TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	user_id TEXT   NOT NULL REFERENCES users (id),
	created BIGINT NOT NULL,
	PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE web_sessions (
	hash    TEXT   NOT NULL PRIMARY KEY,
	id      TEXT   NOT NULL UNIQUE,
	user_id TEXT   NOT NULL REFERENCES users (id),
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX web_sessions_user ON web_sessions (user_id);
CREATE INDEX web_sessions_expires ON web_sessions (expires);

CREATE TABLE api_tokens (
	hash        TEXT   NOT NULL PRIMARY KEY,
	id          TEXT   NOT NULL UNIQUE,
	user_id     TEXT   NOT NULL REFERENCES users (id),
	prefix      TEXT   NOT NULL,
	description TEXT   NOT NULL,
	scopes      TEXT   NOT NULL,
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	last_used   BIGINT NOT NULL DEFAULT 0,
	revoked     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);

-- How much of a limit is used up, by name; full again once spent has passed.
CREATE TABLE budgets (
	name  TEXT   NOT NULL PRIMARY KEY,
	spent BIGINT NOT NULL
);

CREATE TABLE invitations (
	org     TEXT   NOT NULL REFERENCES organizations (id),
	id      TEXT   NOT NULL,
	hash    TEXT   NOT NULL UNIQUE,
	role    TEXT   NOT NULL,
	email   TEXT   NOT NULL,
	inviter TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL DEFAULT 0,
	used_by TEXT   NOT NULL DEFAULT '',
	revoked BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (org, id)
);

-- A node that waits for a person. org is empty until somebody answered.
CREATE TABLE device_logins (
	org       TEXT   NOT NULL DEFAULT '',
	hash      TEXT   NOT NULL PRIMARY KEY,
	user_code TEXT   NOT NULL UNIQUE,
	node_key  TEXT   NOT NULL UNIQUE,
	hostname  TEXT   NOT NULL,
	os        TEXT   NOT NULL,
	version   TEXT   NOT NULL,
	addr      TEXT   NOT NULL,
	prefixes  TEXT   NOT NULL,
	state     TEXT   NOT NULL,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	polled    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX device_logins_expires ON device_logins (expires);

-- org is empty for what is about a person only. ids sort by time.
CREATE TABLE audit (
	org     TEXT   NOT NULL,
	id      TEXT   NOT NULL,
	at      BIGINT NOT NULL,
	user_id TEXT   NOT NULL,
	actor   TEXT   NOT NULL,
	via     TEXT   NOT NULL,
	token   TEXT   NOT NULL,
	addr    TEXT   NOT NULL,
	action  TEXT   NOT NULL,
	target  TEXT   NOT NULL,
	was     TEXT   NOT NULL,
	became  TEXT   NOT NULL,
	PRIMARY KEY (org, id)
);

-- +goose Down
DROP TABLE audit;
DROP TABLE device_logins;
DROP TABLE invitations;
DROP TABLE budgets;
DROP TABLE api_tokens;
DROP TABLE web_sessions;
DROP TABLE identities;
ALTER TABLE users DROP COLUMN default_org;
ALTER TABLE users DROP COLUMN name;
