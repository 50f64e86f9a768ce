"""Real Keras on real backends; environments are built where they are missing."""
