-- What schema 6 adds: the expired action names somebody else's machine action.
UPDATE actions SET superseded_by_id = '44cffc15-0e3d-4cbf-96aa-bf76f9b27f5e', superseded_by_requestor = 'Analyst@contoso.com',
  superseded_by_status = 'Succeeded' WHERE seq = 2;
