-- The sender's place in a trace of its own, as it was sent with the delivery.
ALTER TABLE deliveries ADD COLUMN traceparent TEXT;
