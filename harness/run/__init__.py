"""A whole run: planned, prepared, carried out trial by trial, and on record as each ends."""
