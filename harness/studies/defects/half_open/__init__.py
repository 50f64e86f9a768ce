"""celery#10502, kombu#2590: a connection that one side has forgotten."""
