"""Somebody's own Celery application: probed as it is, or a cell of ours written out as one."""
