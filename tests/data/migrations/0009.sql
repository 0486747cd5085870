INSERT INTO undo_marks (machine_id, sha1, at, until, who, reason)
VALUES ('1111111111aaaaaaaaaa1111111111aaaaaaaaaa', '2222222222bbbbbbbbbb2222222222bbbbbbbbbb', 1772366400000,
        1774958400000, 'token:soc', 'a tool of our own');
