-- The breaker on blast radius, and links for approvals.

-- Each opening and closing of the breaker; the newest one is how it stands. Without any it is closed.
CREATE TABLE blast_breaker_turns (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
  who     TEXT    NOT NULL,
  reason  TEXT    NOT NULL
) STRICT;

-- By which way each word of a person came.
ALTER TABLE approvals ADD COLUMN via TEXT NOT NULL DEFAULT 'api';

-- One row for each link that was made. The secret itself is in the link only.
CREATE TABLE approval_links (
  seq           INTEGER PRIMARY KEY,
  action_seq    INTEGER NOT NULL,
  secret_sha256 BLOB    NOT NULL UNIQUE,
  approver      TEXT    NOT NULL,
  made_by       TEXT    NOT NULL,
  made_at       INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  used_at       INTEGER
) STRICT;

CREATE INDEX approval_links_by_action ON approval_links (action_seq);
