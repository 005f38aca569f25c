"""The version of all that is installed together; `pyproject.toml` reads it here."""

VERSION = "0.1.0"
