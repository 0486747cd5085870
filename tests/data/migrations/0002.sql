-- What schema 2 adds: a delivery without a signed id or time.
INSERT INTO deliveries (id, source, delivery_key, key_id, signed_at, received_at, body, body_sha256, outcome, alert_ids, refused) VALUES
  ('019ca945-0a00-7000-8000-000000000004', 'siem', 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'token', NULL, 1772366403120, x'7b7d', x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'refused', '[]', '[]');
