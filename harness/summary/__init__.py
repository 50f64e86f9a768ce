"""Statistics over the records of a run: a row per cell."""
