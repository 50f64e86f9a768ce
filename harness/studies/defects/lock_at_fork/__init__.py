"""sentry-python#6149."""
