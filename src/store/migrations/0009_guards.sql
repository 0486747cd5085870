-- What guards must remember: what was sent, by what it counts against, and which quarantines were undone.

-- One row an action that was sent, or that a shadow source would have sent. It stays when the action is pruned. The time
-- is that of the last intent, by a clock that setting the system's does not move.
CREATE TABLE sent (
  seq        INTEGER PRIMARY KEY,
  action_id  TEXT    NOT NULL UNIQUE,
  at         INTEGER NOT NULL,
  is_shadow  INTEGER NOT NULL CHECK (is_shadow IN (0, 1)),
  source     TEXT    NOT NULL,
  rule       TEXT    NOT NULL,
  machine_id TEXT    NOT NULL,
  sha1       TEXT    NOT NULL
) STRICT;

CREATE INDEX sent_by_time   ON sent (at);
CREATE INDEX sent_by_hash   ON sent (sha1, at);
CREATE INDEX sent_by_device ON sent (machine_id, at);
CREATE INDEX sent_by_source ON sent (source, at);

-- How many actions each source has had, ever.
CREATE TABLE sources_sent (
  source TEXT    PRIMARY KEY,
  sent   INTEGER NOT NULL,
  shadow INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Quarantines that a person has undone: the same file is left alone on the same device until then.
CREATE TABLE undo_marks (
  machine_id TEXT    NOT NULL,
  sha1       TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  until      INTEGER NOT NULL,
  who        TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  PRIMARY KEY (machine_id, sha1)
) STRICT, WITHOUT ROWID;

INSERT INTO sent (action_id, at, is_shadow, source, rule, machine_id, sha1)
  SELECT a.id, a.intent_at, 0, a.source, l.title, a.machine_id, a.sha1
  FROM actions a JOIN alerts l ON l.seq = a.alert_seq
  WHERE a.intent_at IS NOT NULL AND a.machine_id IS NOT NULL AND a.sha1 IS NOT NULL;

INSERT INTO sources_sent (source, sent, shadow)
  SELECT source, count(*), 0 FROM sent GROUP BY source;
