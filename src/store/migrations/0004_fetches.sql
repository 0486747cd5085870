-- Alerts that a delivery only refers to, and that are fetched: one row an alert of a delivery.

CREATE TABLE fetches (
  seq         INTEGER PRIMARY KEY,
  delivery_id TEXT    NOT NULL,
  source      TEXT    NOT NULL,
  alert_id    TEXT    NOT NULL,
  state       TEXT    NOT NULL CHECK (state IN ('pending', 'fetched', 'failed')),
  why         TEXT    NOT NULL,
  -- How often the delivery came: what was fetched before it came again may be old.
  round       INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  wanted_at   INTEGER NOT NULL,
  next_at     INTEGER,
  ended_at    INTEGER,
  UNIQUE (delivery_id, alert_id)
) STRICT;

CREATE INDEX fetches_due ON fetches (next_at) WHERE next_at IS NOT NULL;
