-- Registration keys whose new nodes replace offline ones of the same host name.

-- +goose Up
ALTER TABLE registration_keys ADD COLUMN replaces BOOLEAN NOT NULL DEFAULT FALSE;
-- ID of the registration key that the node joined with; empty = approved, or joined before.
ALTER TABLE nodes ADD COLUMN reg_key TEXT NOT NULL DEFAULT '';

-- Nodes that were replaced, by their public key, so that they do not join again by themselves.
CREATE TABLE replaced_nodes (
	org  TEXT   NOT NULL REFERENCES organizations (id),
	key  TEXT   NOT NULL,
	name TEXT   NOT NULL,
	at   BIGINT NOT NULL,
	PRIMARY KEY (org, key)
);
CREATE INDEX replaced_nodes_at ON replaced_nodes (at);

-- +goose Down
DROP TABLE replaced_nodes;
ALTER TABLE nodes DROP COLUMN reg_key;
ALTER TABLE registration_keys DROP COLUMN replaces;
