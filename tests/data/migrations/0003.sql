-- What schema 3 adds: the expired action was held, and a person had said which device it is.
UPDATE actions SET completed_machine_id = '1111111111aaaaaaaaaa1111111111aaaaaaaaaa', completed_by = 'token:grafana',
  completed_at = 1772366401160 WHERE seq = 2;
