"""What one session keeps: its memory, how an event changes it, and its form when it is stored."""
