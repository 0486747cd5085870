-- The first schema. Times are milliseconds since 1970, UTC. An applied migration never changes.

-- One HTTP request from a source, its bytes as they came.
CREATE TABLE deliveries (
  seq         INTEGER PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  source      TEXT    NOT NULL,
  signed_id   TEXT    NOT NULL,
  key_id      TEXT    NOT NULL,
  signed_at   INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  body        BLOB    NOT NULL,
  body_sha256 BLOB    NOT NULL,
  outcome     TEXT    NOT NULL CHECK (outcome IN ('accepted', 'refused')),
  alert_ids   TEXT    NOT NULL,
  refused     TEXT    NOT NULL,
  UNIQUE (source, signed_id)
) STRICT;

-- One alert. The sender's id is unique within its source.
CREATE TABLE alerts (
  seq         INTEGER PRIMARY KEY,
  source      TEXT    NOT NULL,
  alert_id    TEXT    NOT NULL,
  severity    TEXT,
  title       TEXT    NOT NULL,
  url         TEXT,
  occurred_at INTEGER,
  UNIQUE (source, alert_id)
) STRICT;

-- One intended StopAndQuarantineFile, for one pair of one alert.
CREATE TABLE actions (
  seq                   INTEGER PRIMARY KEY,
  id                    TEXT    NOT NULL UNIQUE,
  alert_seq             INTEGER NOT NULL REFERENCES alerts (seq),
  delivery_id           TEXT    NOT NULL,
  source                TEXT    NOT NULL,
  pair_key              TEXT    NOT NULL,
  given_machine_id      TEXT,
  given_dns_name        TEXT,
  given_sha1            TEXT,
  given_sha256          TEXT,
  given_file_name       TEXT,
  machine_found_at      TEXT,
  file_found_at         TEXT,
  machine_id            TEXT,
  sha1                  TEXT,
  severity_rank         INTEGER NOT NULL,
  accepted_at           INTEGER NOT NULL,
  state                 TEXT    NOT NULL,
  changed_at            INTEGER NOT NULL,
  expires_at            INTEGER,
  next_at               INTEGER,
  attempts              INTEGER NOT NULL DEFAULT 0,
  intent_at             INTEGER,
  first_intent_at       INTEGER,
  empty_reads           INTEGER NOT NULL DEFAULT 0,
  empty_read_at         INTEGER,
  machine_action_id     TEXT,
  machine_action_status TEXT,
  machine_action_since  INTEGER,
  UNIQUE (alert_seq, pair_key)
) STRICT;

-- Lists for people: newest first by state, by source.
CREATE INDEX actions_by_state  ON actions (state, seq);
CREATE INDEX actions_by_source ON actions (source, seq);

-- What is due, and what expires. Only unfinished actions have these times, so the indices stay small.
CREATE INDEX actions_due      ON actions (state, next_at)    WHERE next_at IS NOT NULL;
CREATE INDEX actions_expiring ON actions (state, expires_at) WHERE expires_at IS NOT NULL;

-- The queue, in the order in which it is served.
CREATE INDEX actions_queue ON actions (severity_rank DESC, accepted_at, seq) WHERE state = 'queued';

CREATE INDEX actions_queue_by_machine ON actions (machine_id, severity_rank DESC, accepted_at, seq)
  WHERE state = 'queued';

-- At most one call per machine is in flight or unsettled.
CREATE UNIQUE INDEX one_call_per_machine ON actions (machine_id) WHERE state IN ('sending', 'uncertain');

-- Every change of state.
CREATE TABLE history (
  action_seq INTEGER NOT NULL REFERENCES actions (seq),
  n          INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  from_state TEXT,
  to_state   TEXT    NOT NULL,
  why        TEXT    NOT NULL,
  who        TEXT    NOT NULL,
  facts      TEXT    NOT NULL,
  PRIMARY KEY (action_seq, n)
) STRICT, WITHOUT ROWID;

-- Every intent, and how the call ended as far as is known.
CREATE TABLE attempts (
  action_seq     INTEGER NOT NULL REFERENCES actions (seq),
  n              INTEGER NOT NULL,
  intent_at      INTEGER NOT NULL,
  ended_at       INTEGER,
  outcome        TEXT,
  http_status    INTEGER,
  code           TEXT,
  message        TEXT,
  correlation_id TEXT,
  PRIMARY KEY (action_seq, n)
) STRICT, WITHOUT ROWID;

-- The calls that count against Defender's limits.
CREATE TABLE calls (
  seq INTEGER PRIMARY KEY,
  at  INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_by_time ON calls (at);

-- API tokens, by the SHA-256 of their secret.
CREATE TABLE tokens (
  id            TEXT    PRIMARY KEY,
  name          TEXT    NOT NULL,
  scopes        TEXT    NOT NULL,
  secret_sha256 BLOB    NOT NULL,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
