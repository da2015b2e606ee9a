"""What a session keeps: values, what nodes keep beside them, combinations of what is bound, and events."""
