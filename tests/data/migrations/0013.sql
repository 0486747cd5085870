INSERT INTO blast_breaker_turns (at, is_open, who, reason) VALUES
  (1772366400000, 1, 'bridge', '5 of 5 (hash, 3600 s)'), (1772366460000, 0, 'token:lead', 'an outbreak, looked at');
UPDATE approvals SET via = 'link';
INSERT INTO approval_links (action_seq, secret_sha256, approver, made_by, made_at, expires_at, used_at)
SELECT min(seq), x'00', 'alice', 'token:bot', 1772366400000, 1772380800000, 1772366460000 FROM actions;
