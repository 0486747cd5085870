-- What schema 8 adds: the seal of the alert on its way, and a delivery that retention has deleted.
UPDATE actions SET seal = x'ee8c54ca67a4a836e384e4ebe618fda00904eae2a4787fadd9cbcdd3d0c348f3' WHERE seq = 1;
INSERT INTO remembered (key, at, delivery_id, body_sha256) VALUES
  (x'2222222222222222222222222222222222222222222222222222222222222222', 1772366400120, '019ca945-0a00-7000-8000-000000000004',
   x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
INSERT INTO marks (name, value) VALUES ('pruned_to', 1772366400000);
