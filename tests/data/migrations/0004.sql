INSERT INTO fetches (delivery_id, source, alert_id, state, why, round, attempts, wanted_at, next_at)
  VALUES ('019ca945-0a00-7000-8000-000000000003', 'soc', 'dac6b87b3c_1', 'pending', 'the delivery refers to it', 1, 0,
          1772366400000, 1772366400000);
