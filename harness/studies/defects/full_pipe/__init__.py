"""aiida-core#1006."""
