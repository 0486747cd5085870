-- What schema 15 adds: the way that a word came by, and a seal that covers it.
UPDATE approvals SET via = 'cli';
UPDATE actions SET seal = x'aee279195031b1c27bda1c08ac6ae7b4db1cd43b41f7baf5c361d664803465fd' WHERE seq = 1;
