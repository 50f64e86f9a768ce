"""celery#10502, kombu#2590: nobody answers on the control connection."""
