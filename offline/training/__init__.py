"""Trained stages, one run folder: what is learned, from which corpora, and how."""
