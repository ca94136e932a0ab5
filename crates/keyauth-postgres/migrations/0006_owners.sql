-- How many keys owners may have, and how often they may choose custom keys that are in use.

INSERT INTO keyauth.migrations (version, name) VALUES (6, 'owners');

ALTER TABLE keyauth.tenants ADD COLUMN max_keys_per_owner bigint
    CHECK (max_keys_per_owner BETWEEN 0 AND 4294967295);
ALTER TABLE keyauth.owners ADD COLUMN max_keys bigint CHECK (max_keys BETWEEN 0 AND 4294967295);

-- When owners have chosen custom keys that were in use. Of owners that may be gone, or were never there.
CREATE TABLE keyauth.custom_key_guesses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX custom_key_guesses_by_owner ON keyauth.custom_key_guesses (tenant, owner, at);
