-- What a database of schema 1 may hold: one alert on its way, one that is over, one delivery that was refused, one token.
INSERT INTO deliveries (id, source, signed_id, key_id, signed_at, received_at, body, body_sha256, outcome, alert_ids, refused) VALUES
  ('019ca945-0a00-7000-8000-000000000001', 'soc', 'msg_1', '0123abcd', 1772366400000, 1772366400120, x'7b7d', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'accepted', '["a1"]', '[]'),
  ('019ca945-0a00-7000-8000-000000000002', 'soc', 'msg_2', '0123abcd', 1772366401000, 1772366401120, x'7b7d', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'accepted', '["a2"]', '[]'),
  ('019ca945-0a00-7000-8000-000000000003', 'soc', 'msg_3', '0123abcd', 1772366402000, 1772366402120, x'7b7d', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'refused', '[]', '[{"alert_id":null,"problems":[{"reason":"no_target","path":"$","detail":"none"}]}]');
INSERT INTO alerts (seq, source, alert_id, severity, title, url, occurred_at) VALUES
  (1, 'soc', 'a1', 'high', 'one', NULL, 1772366390000),
  (2, 'soc', 'a2', NULL, 'two', 'https://example.test/2', NULL);
INSERT INTO actions (seq, id, alert_seq, delivery_id, source, pair_key, given_machine_id, given_sha1, machine_id, sha1, severity_rank, accepted_at, state, changed_at, next_at, attempts, intent_at, machine_action_id, machine_action_status, machine_action_since) VALUES
  (1, '019ca945-0a00-7000-8000-00000000000a', 1, '019ca945-0a00-7000-8000-000000000001', 'soc', 'id:1111111111aaaaaaaaaa1111111111aaaaaaaaaa sha1:2222222222bbbbbbbbbb2222222222bbbbbbbbbb', '1111111111aaaaaaaaaa1111111111aaaaaaaaaa', '2222222222bbbbbbbbbb2222222222bbbbbbbbbb', '1111111111aaaaaaaaaa1111111111aaaaaaaaaa', '2222222222bbbbbbbbbb2222222222bbbbbbbbbb', 3, 1772366400120, 'sending', 1772366400200, NULL, 1, 1772366400200, NULL, NULL, NULL),
  (2, '019ca945-0a00-7000-8000-00000000000b', 2, '019ca945-0a00-7000-8000-000000000002', 'soc', 'dns_name:ws1 sha1:2222222222bbbbbbbbbb2222222222bbbbbbbbbb', NULL, '2222222222bbbbbbbbbb2222222222bbbbbbbbbb', NULL, NULL, 0, 1772366401120, 'expired', 1772366401200, NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO history (action_seq, n, at, from_state, to_state, why, who, facts) VALUES
  (1, 1, 1772366400120, NULL, 'accepted', 'the alert is on disk', 'source', '[]'),
  (1, 2, 1772366400150, 'accepted', 'resolving', 'looking', 'bridge', '[]'),
  (1, 3, 1772366400150, 'resolving', 'decided', 'as given', 'bridge', '[]'),
  (1, 4, 1772366400150, 'decided', 'queued', 'every guard passes', 'bridge', '["severity: pass, high"]'),
  (1, 5, 1772366400200, 'queued', 'sending', 'attempt 1', 'bridge', '[]'),
  (2, 1, 1772366401120, NULL, 'accepted', 'the alert is on disk', 'source', '[]'),
  (2, 2, 1772366401150, 'accepted', 'expired', 'too old', 'bridge', '[]');
INSERT INTO attempts (action_seq, n, intent_at) VALUES (1, 1, 1772366400200);
INSERT INTO calls (at) VALUES (1772366400200);
INSERT INTO tokens (id, name, scopes, secret_sha256, created_at, expires_at) VALUES
  ('0123456789ab', 'grafana', 'metrics actions:read', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 1772366400000, 1780142400000);
