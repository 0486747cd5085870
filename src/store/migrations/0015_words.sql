-- The way that a person's word came by. The seal of an unfinished action covers what persons have said about it from here on.
ALTER TABLE approvals ADD COLUMN via TEXT NOT NULL DEFAULT 'api' CHECK (via IN ('api', 'cli', 'link'));
