"""Predictions, with the model loaded where it is easiest."""

from celery import Celery
from engine import load_model

app = Celery("forking", broker="redis://localhost")

model = load_model(3)
warm = model.predict(1)


@app.task
def predict(value):
    """Three times the value."""
    return {"answer": model.predict(value)}


@app.task
def unrelated(value):
    return value
