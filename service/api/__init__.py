"""The decision API: a bare ASGI application, msgspec for every schema, one module per group of endpoints."""
