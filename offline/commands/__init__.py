"""The commands of `python -m offline`, one module each: `add_arguments`, `run`."""
