INSERT INTO holds (action_seq, guard, approvers) SELECT min(seq), 'os', 1 FROM actions;
INSERT INTO approvals (action_seq, word, who, guards, reason, at)
SELECT min(seq), 'approve', 'token:alice', '["os"]', 'looked at it', 1772366400000 FROM actions;
