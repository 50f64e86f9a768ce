"""`harness tune --app` on trial: whole grids of small applications on record, and what searches over them reach.

`projects` are the applications, `record` measures all of a grid, several times where it may matter, or searches it as a user
would; `decide.tune.replay` makes the searches; `page` writes the table. `python -m harness.proof.grids` does it.
"""
