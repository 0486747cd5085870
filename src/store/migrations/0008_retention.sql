-- What is known of rows that retention has deleted, marks of the database as a whole, and seals.

-- Deliveries, pairs and targets that are known though their rows are gone: `key` is the SHA-256 of what names them, `at` begins
-- the window in which they are duplicates. delivery_id and body_sha256 are those of a delivery.
CREATE TABLE remembered (
  key         BLOB    NOT NULL PRIMARY KEY,
  at          INTEGER NOT NULL,
  delivery_id TEXT,
  body_sha256 BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_by_time ON remembered (at);

-- pruned_to: the time that retention goes by. backup_at: stands in a backup only. restores, restored_at, restored_from: how often
-- the database was restored, when last, from a backup of when. calls_counted: for which restore the calls were counted.
CREATE TABLE marks (
  name  TEXT    NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The SHA-256 of what a call depends on: alert, device, file. SQLite does not see a flipped bit in a value.
ALTER TABLE actions ADD COLUMN seal BLOB;

-- For which restore of the database Defender's list was asked whether this action was sent.
ALTER TABLE actions ADD COLUMN looked_after_restore INTEGER NOT NULL DEFAULT 0;
