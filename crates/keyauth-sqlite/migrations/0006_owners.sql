-- How many keys owners may have, and how often they may choose custom keys that are in use.

ALTER TABLE tenants ADD COLUMN max_keys_per_owner INTEGER
    CHECK (max_keys_per_owner BETWEEN 0 AND 4294967295);
ALTER TABLE owners ADD COLUMN max_keys INTEGER CHECK (max_keys BETWEEN 0 AND 4294967295);
CREATE INDEX keys_by_owner ON keys (tenant, owner);

-- When owners have chosen custom keys that were in use. Of owners that may be gone, or were never there.
CREATE TABLE custom_key_guesses (
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX custom_key_guesses_by_owner ON custom_key_guesses (tenant, owner, at);
