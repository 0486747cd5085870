INSERT INTO blast_breaker_turns (at, is_open, who, reason) VALUES
  (1772366400000, 1, 'bridge', '5 of 5 (hash, 3600 s)'), (1772366460000, 0, 'token:lead', 'an outbreak, looked at');
