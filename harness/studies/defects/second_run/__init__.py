"""celery#5935."""
