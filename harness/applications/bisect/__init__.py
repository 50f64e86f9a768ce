"""`harness bisect`: the verb, for an experiment's cells and for somebody's own application. The search is `decide.bisect`.

An application is run on releases of what it depends on (`releases`), or on commits of its own repository (`commits`), one
candidate after the other (`candidate`). Neither its environment nor its repository is written to.
"""
