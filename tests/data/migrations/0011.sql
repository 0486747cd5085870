INSERT INTO switch_turns (at, is_on, who, reason) VALUES
  (1772366400000, 1, 'token:soc', 'a wrong rule'), (1772366460000, 0, 'operator:uid 0', 'the rule is mended');
