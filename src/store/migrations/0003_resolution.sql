-- Actions whose device or file must be looked up, and those that a person completes.

-- Why it is held, where that is because device or file are not known.
ALTER TABLE actions ADD COLUMN held_reason TEXT;

-- What a person added last: which device, which file, who said so, when.
ALTER TABLE actions ADD COLUMN completed_machine_id TEXT;
ALTER TABLE actions ADD COLUMN completed_sha1 TEXT;
ALTER TABLE actions ADD COLUMN completed_by TEXT;
ALTER TABLE actions ADD COLUMN completed_at INTEGER;

CREATE INDEX actions_by_held_reason ON actions (held_reason, seq) WHERE held_reason IS NOT NULL;

-- What is being looked up, in the order in which it is served.
CREATE INDEX actions_resolving ON actions (severity_rank DESC, accepted_at, seq) WHERE state = 'resolving';
