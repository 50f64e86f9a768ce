"""The instrument itself on trial: its verdicts, its figures, its cost, and what this machine lets it see."""
