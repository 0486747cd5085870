-- Callbacks: who is told what became of actions.

-- Each callback that the configuration has, or had. `told_to` is the entry of the audit up to which it has messages: a change of a
-- state is in the audit with the change, so what is to be told is what comes after.
CREATE TABLE callbacks (
  name       TEXT    NOT NULL PRIMARY KEY,
  origin     TEXT    NOT NULL,
  url_sha256 BLOB    NOT NULL,
  told_to    INTEGER NOT NULL,
  since      INTEGER NOT NULL,
  gone_at    INTEGER,
  removed_at INTEGER
) STRICT, WITHOUT ROWID;

-- One event for one callback. Only what is queued has a time at which it is due, and only what is over has one at which it ended.
CREATE TABLE messages (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  callback   TEXT    NOT NULL,
  id         TEXT    NOT NULL,
  type       TEXT    NOT NULL,
  action_id  TEXT    NOT NULL,
  body       TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('queued', 'delivered', 'dead')),
  attempts   INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  next_at    INTEGER,
  tried_at   INTEGER,
  status     INTEGER,
  why        TEXT,
  ended_at   INTEGER,
  UNIQUE (callback, id)
) STRICT;

CREATE INDEX messages_due         ON messages (callback, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX messages_ended       ON messages (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX messages_by_state    ON messages (callback, state, seq);
CREATE INDEX messages_by_callback ON messages (callback, seq);
