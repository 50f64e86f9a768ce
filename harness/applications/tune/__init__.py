"""`harness tune`: the verb, for an experiment's cells and for somebody's own application. The search is `decide.tune`."""
