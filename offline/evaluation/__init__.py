"""A model folder and a corpus -> figures; nothing here knows torch."""
