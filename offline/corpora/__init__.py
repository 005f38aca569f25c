"""Corpora: one form for all, and readers of the published layouts."""
