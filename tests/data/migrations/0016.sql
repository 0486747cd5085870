INSERT INTO tokens (id, name, scopes, secret_sha256, created_at, expires_at, source, mode) VALUES
  ('1123456789ab', 'playbook', 'actions:write', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 1772366400000, 1780142400000, 'playbooks', 'approve');
UPDATE actions SET requested_by = 'token:playbook', mode_max = 'approve', note = 'run 4711' WHERE seq = 2;
INSERT INTO idempotency_keys (key, request, at, answer) VALUES
  (x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 1772366400120, '[["019ca945-0a00-7000-8000-00000000000a","accepted",false]]');
