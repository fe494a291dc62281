-- What a node says of the NAT in front of it; empty = unknown.

-- +goose Up
ALTER TABLE nodes ADD COLUMN nat TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE nodes DROP COLUMN nat;
