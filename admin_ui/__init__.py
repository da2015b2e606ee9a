"""The marketer's admin UI: a Flask application over a `Backend` that somebody else wires.

`admin_ui.application.create_app(backend, options)` makes it. It imports the engine only; where rules are stored, how they are
published and who else runs is behind `admin_ui.backend.Backend`. `accounts` stands by itself, so that the command line
need not load the rest.
"""
