"""The peers' servers; run by the Python of their own environment, with a port."""
