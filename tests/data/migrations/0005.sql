-- What schema 5 adds: somebody wants the action on its way cancelled.
INSERT INTO cancellations (action_seq, requested_at, who, reason, why, next_at)
  VALUES (1, 1772366402200, 'token:grafana', 'false alarm', 'it is on disk', 1772366402200);
