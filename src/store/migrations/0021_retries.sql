-- Another try of an action that is over: a new action, which names the one before. Each is tried again once.
ALTER TABLE actions ADD COLUMN retry_of TEXT;
CREATE UNIQUE INDEX one_retry_each ON actions (retry_of) WHERE retry_of IS NOT NULL;
