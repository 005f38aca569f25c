"""Recordings -> a corpus file: cut and heard by the code that serves."""
