"""Find the best configuration without measuring all of them: what `harness tune` does, in whatever cells.

`search` decides what to measure next (pure), `tune` measures it, or takes it from a run in which everything was measured, and
hands the records to `harness.decide.advise`, which says which configuration to use as it does for any run.
"""
