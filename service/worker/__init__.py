"""The stream worker: events in, state and triggers out, nothing dropped silently.

`intake` reads records, `evaluation` is the pure step from a batch to what it writes, `partition` carries it out for one
partition, `emission` sends what was written, `loop` polls and keeps the group's membership.
"""
