-- What schema 7 adds: a call of another part of the API, by both clocks.
INSERT INTO calls (api, at, steady) VALUES ('machines', 1772366400300, 86400300);
