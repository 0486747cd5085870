INSERT INTO callbacks (name, origin, url_sha256, told_to, since, gone_at, removed_at)
VALUES ('soar', 'https://soar.example', zeroblob(32), 1, 1772366400000, 1772366460000, NULL);
INSERT INTO messages (callback, id, type, action_id, body, state, attempts, created_at, next_at, tried_at, status, why, ended_at)
VALUES ('soar', 'evt_0123456789abcdef0123456789abcdef', 'action.held', '019ca945-0a00-7000-8000-000000000001', '{}', 'queued', 1,
        1772366400000, 1772366405000, 1772366400000, 503, 'HTTP 503', NULL),
       ('soar', 'evt_1123456789abcdef0123456789abcdef', 'action.finished', '019ca945-0a00-7000-8000-000000000001', '{}', 'dead', 1,
        1772366400000, NULL, 1772366400000, 410, 'HTTP 410', 1772366460000);
