-- Key rotations: notes signed by the old and the new key, in order. Anyone who trusts one key of
-- the log follows them to the others; the table itself is not trusted.

SET ROLE mts_owner;

CREATE TABLE audit.rotation (
    number int PRIMARY KEY,
    note text NOT NULL
);
SELECT audit.protect('audit.rotation');
GRANT SELECT ON audit.rotation TO mts_sealer, mts_signer, mts_projector, mts_reader;
GRANT INSERT ON audit.rotation TO mts_signer;
RESET ROLE;
