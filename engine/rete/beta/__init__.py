"""Conditions joined by bound names: the combinations of events for which they hold, kept event by event."""
