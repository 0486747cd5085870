-- Machine actions that several actions share, and those of others that supersede ours.

-- Somebody else's machine action that did what ours would have done, as Defender named it.
ALTER TABLE actions ADD COLUMN superseded_by_id TEXT;
ALTER TABLE actions ADD COLUMN superseded_by_requestor TEXT;
ALTER TABLE actions ADD COLUMN superseded_by_status TEXT;

-- What was sent for a device and file. An action enters it when Defender has taken it.
CREATE INDEX actions_sent ON actions (machine_id, sha1) WHERE machine_action_id IS NOT NULL;
