"""Trained networks -> a model folder."""
