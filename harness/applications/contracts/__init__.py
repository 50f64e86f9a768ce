"""`harness contracts`: the verb, for our own tasks (`studies.contracts`) and for a task of somebody's own application.

`stand` starts a worker of theirs and talks to it, `measures` has what is done to it, `words` what is said of it, `survey` goes
through the pools.
"""
