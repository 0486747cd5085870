-- Actions that callers of the API ask for.

-- For which source a token may ask, and how far what it asks for may go at most.
ALTER TABLE tokens ADD COLUMN source TEXT;
ALTER TABLE tokens ADD COLUMN mode TEXT;

-- Who asked for the action, how far it may go at most, and what the caller adds for people; null where an alert brought it.
ALTER TABLE actions ADD COLUMN requested_by TEXT;
ALTER TABLE actions ADD COLUMN mode_max TEXT;
ALTER TABLE actions ADD COLUMN note TEXT;

-- What was answered under an Idempotency-Key: `key` is the SHA-256 of who asked and of the key, `request` that of what was
-- asked for.
CREATE TABLE idempotency_keys (
  key     BLOB    NOT NULL PRIMARY KEY,
  request BLOB    NOT NULL,
  at      INTEGER NOT NULL,
  answer  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (at);
