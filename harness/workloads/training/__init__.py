"""Scripts that made the committed files in data/; nothing else imports them, and nothing needs them at run time."""
