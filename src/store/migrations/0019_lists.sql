-- Lists for people by device and by file.
CREATE INDEX actions_by_machine ON actions (machine_id, seq) WHERE machine_id IS NOT NULL;
CREATE INDEX actions_by_file    ON actions (sha1, seq)       WHERE sha1 IS NOT NULL;
