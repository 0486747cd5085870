//! How many deliveries a second can be accepted durably.

fn main() {}
