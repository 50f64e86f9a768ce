"""Which release of a package changed a cell's outcome or pace."""
