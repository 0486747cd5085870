-- Actions that somebody wants to end: one row an action, the last wish and the last cancel call of Defender.

CREATE TABLE cancellations (
  action_seq     INTEGER PRIMARY KEY REFERENCES actions (seq) ON DELETE CASCADE,
  requested_at   INTEGER NOT NULL,
  who            TEXT    NOT NULL,
  reason         TEXT    NOT NULL,
  why            TEXT    NOT NULL,
  -- When Defender may be called next; null once it took effect or was given up.
  next_at        INTEGER,
  calls          INTEGER NOT NULL DEFAULT 0,
  tries          INTEGER NOT NULL DEFAULT 0,
  unlisted       INTEGER NOT NULL DEFAULT 0,
  called_at      INTEGER,
  ended_at       INTEGER,
  outcome        TEXT,
  http_status    INTEGER,
  code           TEXT,
  message        TEXT,
  correlation_id TEXT
) STRICT;

CREATE INDEX cancellations_open ON cancellations (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX cancellations_called ON cancellations (called_at) WHERE called_at IS NOT NULL;

-- Which actions share a machine action.
CREATE INDEX actions_by_machine_action ON actions (machine_action_id) WHERE machine_action_id IS NOT NULL;
