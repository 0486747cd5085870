-- Every turn of the kill switch; the newest one is how it stands. Without any it is off.
CREATE TABLE switch_turns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    is_on INTEGER NOT NULL CHECK (is_on IN (0, 1)),
    who TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
