"""Features to vectors, training, registry and scoring of models."""
