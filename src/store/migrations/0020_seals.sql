-- From here on a seal covers what the alert tells as well. Seals are no work for SQL: `seal.rs` makes those of what is unfinished anew.
SELECT NULL;
