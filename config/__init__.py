"""Default settings and their schema; imports nothing else of this application."""
