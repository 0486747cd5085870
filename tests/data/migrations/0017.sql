INSERT INTO links (id, action_seq, approver, made_by, holds, held_since, secret_sha256, created_at, expires_at, used_at, used_word)
SELECT '0123456789abcdef0123456789abcdef', min(seq), 'token:alice#0123456789ab', 'token:mailer#0123456789ab', '["os"]', 1772366400000,
  x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 1772366400000, 1772370000000, 1772366460000, 'approve' FROM actions;
