"""dagster#29660, deis#359, celery#1784."""
