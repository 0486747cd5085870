-- One-time links by which a person decides about a held action. The link itself is not kept: only the digest of its random part.
CREATE TABLE links (
  id            TEXT    PRIMARY KEY,
  action_seq    INTEGER NOT NULL,
  approver      TEXT    NOT NULL,
  made_by       TEXT    NOT NULL,
  -- The holds that are shown and approved, and since when they hold.
  holds         TEXT    NOT NULL,
  held_since    INTEGER NOT NULL,
  secret_sha256 BLOB    NOT NULL,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  used_at       INTEGER,
  used_word     TEXT    CHECK (used_word IN ('approve', 'deny'))
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_action ON links (action_seq);

-- Who made the link that a word came by.
ALTER TABLE approvals ADD COLUMN link_made_by TEXT;
