"""What was asked of Celery and Keras, and what was measured: claims, incidents, contracts of the pools."""
