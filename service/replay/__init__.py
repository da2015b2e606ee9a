"""Recordings into the event log: `mapping` says which column is what, `rows` reads files, `feed` appends in time."""
