"""From an event to the quantities that it enters: discrimination by type and attributes, memories, aggregates and windows."""
