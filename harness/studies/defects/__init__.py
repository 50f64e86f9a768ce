"""Defects of released versions, made to happen again, and what `harness why` says of each: `python -m harness.studies.defects`.

Each defect is a folder: `app.py` (what the worker serves), `requirements.txt` (exact versions, installed from the package
index), `defect.py` (how it is provoked, and the symptom that shows without our tool that it happened). It is no verb: whoever
serves a model never needs it. It downloads releases of years ago, and waits minutes for a race. It is for work on `why`.
"""
