"""What runs inside a worker's own interpreter (Python 3.7 and later): the Celery app and the signs of life it gives.

Nothing here imports the rest of `harness` but `harness.backends`, and no ML library is imported at import time.
"""
