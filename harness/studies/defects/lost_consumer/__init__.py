"""celery#8030."""
