"""The wiring: decision API, stream worker, publisher and command line; alone in reading settings."""
