-- The budgets of all parts of the API, and a queue that is read from its most urgent, its other and its oldest end.

-- Where the call went, and when by the steady clock; null of calls that were kept before.
ALTER TABLE calls ADD COLUMN api TEXT NOT NULL DEFAULT 'quarantine';
ALTER TABLE calls ADD COLUMN steady INTEGER;
DROP INDEX calls_by_time;
INSERT INTO calls (api, at)
  SELECT 'cancel', called_at FROM cancellations WHERE called_at IS NOT NULL ORDER BY called_at;
DROP INDEX cancellations_called;

-- The queue in the order in which it is served, and by age. What cannot be sent now is passed over in the index.
DROP INDEX actions_queue;
DROP INDEX actions_queue_by_machine;
CREATE INDEX actions_queue   ON actions (severity_rank DESC, accepted_at, seq, next_at, machine_id) WHERE state = 'queued';
CREATE INDEX actions_waiting ON actions (accepted_at, seq, next_at, machine_id) WHERE state = 'queued';

-- What nobody has looked at yet, the most urgent first.
CREATE INDEX actions_undecided ON actions (severity_rank DESC, seq) WHERE state = 'accepted';
