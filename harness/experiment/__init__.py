"""What is asked for: an experiment is a file that expands to cells. Values and their text forms; nothing is run here."""
