"""Rulesets that ship with the application; read as files through `importlib.resources`."""
