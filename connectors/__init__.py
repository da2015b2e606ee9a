"""Outside systems, one per module, each behind a port of `engine.ports`."""
