-- Devices and files as other senders name them, and deliveries that carry no signed id or time.

ALTER TABLE actions ADD COLUMN given_aad_device_id TEXT;
ALTER TABLE actions ADD COLUMN given_ip TEXT;
ALTER TABLE actions ADD COLUMN given_md5 TEXT;
-- The devices that it may have been, as JSON, where the alert does not say which.
ALTER TABLE actions ADD COLUMN candidates TEXT NOT NULL DEFAULT '[]';

-- delivery_key tells whether a delivery is known: the sender's id where the signature covers it, else `sha256:` and the
-- digest of the body. signed_at is null where the sender signs no time.
CREATE TABLE deliveries_2 (
  seq          INTEGER PRIMARY KEY,
  id           TEXT    NOT NULL UNIQUE,
  source       TEXT    NOT NULL,
  delivery_key TEXT    NOT NULL,
  key_id       TEXT    NOT NULL,
  signed_at    INTEGER,
  received_at  INTEGER NOT NULL,
  body         BLOB    NOT NULL,
  body_sha256  BLOB    NOT NULL,
  outcome      TEXT    NOT NULL CHECK (outcome IN ('accepted', 'refused')),
  alert_ids    TEXT    NOT NULL,
  refused      TEXT    NOT NULL,
  UNIQUE (source, delivery_key)
) STRICT;

INSERT INTO deliveries_2 (seq, id, source, delivery_key, key_id, signed_at, received_at, body, body_sha256, outcome,
                          alert_ids, refused)
  SELECT seq, id, source, signed_id, key_id, signed_at, received_at, body, body_sha256, outcome, alert_ids, refused
  FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_2 RENAME TO deliveries;
