-- The record of what was decided, sent, cancelled, configured and administered.

-- entry is the text that stands for an entry, as JSON; hash is the SHA-256 of the hash before it and of that text.
CREATE TABLE audit (
  seq   INTEGER PRIMARY KEY,
  entry TEXT    NOT NULL,
  hash  BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Nothing but the next entry is written here. An INSERT OR REPLACE deletes without the trigger for it, so the place is checked.
CREATE TRIGGER audit_is_in_order BEFORE INSERT ON audit
  WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM audit), 0) + 1
  BEGIN SELECT RAISE(ABORT, 'the audit takes nothing but its next entry'); END;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit is not deleted'); END;
