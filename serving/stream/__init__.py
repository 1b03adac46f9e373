"""Events from a Kafka topic to the profile pool: delivered at least once, counted exactly once."""
