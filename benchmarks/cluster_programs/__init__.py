"""Programs that need Ray, run by its own interpreter."""
