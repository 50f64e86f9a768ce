"""One cell, run once: its worker and its load are started, watched and stopped here. Nothing is judged here."""
