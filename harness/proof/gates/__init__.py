"""The gate on trial: how often it is wrong, and how often it sees what was planted.

`record` runs trials of one application by turns beside other programs that compute; `resample` makes gates of the recorded
trials, thousands of them. `python -m harness.proof.gates` does both.
"""
