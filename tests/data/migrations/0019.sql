UPDATE actions SET machine_id = '1111111111aaaaaaaaaa1111111111aaaaaaaaaa' WHERE seq = 2;
