-- What persons say about held actions.

-- The holds of an action as policy last found them: which guards, and how many persons must approve each; null where no
-- approval helps. None for an action that was held before this table was there.
CREATE TABLE holds (
  action_seq INTEGER NOT NULL,
  guard      TEXT    NOT NULL,
  approvers  INTEGER,
  PRIMARY KEY (action_seq, guard)
) STRICT, WITHOUT ROWID;

-- One row for each time that a person approves or denies.
CREATE TABLE approvals (
  seq        INTEGER PRIMARY KEY,
  action_seq INTEGER NOT NULL,
  word       TEXT    NOT NULL CHECK (word IN ('approve', 'deny')),
  who        TEXT    NOT NULL,
  guards     TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  at         INTEGER NOT NULL
) STRICT;

CREATE INDEX approvals_by_action ON approvals (action_seq);
