"""The Flask application in which marketers write, simulate, review and publish rules."""
