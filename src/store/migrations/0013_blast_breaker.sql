-- The breaker on blast radius.

-- Each opening and closing of it; the newest one is how it stands. Without any it is closed.
CREATE TABLE blast_breaker_turns (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
  who     TEXT    NOT NULL,
  reason  TEXT    NOT NULL
) STRICT;
