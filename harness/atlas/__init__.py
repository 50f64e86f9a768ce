"""What has been measured before: how trials of each kind ended, and why, by engine, pool, placement and call.

`entries` says which trials are of a kind and makes entries of records (pure), `stored` reads and writes the file, `against`
says what of it speaks against a configuration, `pages` prints it. The shipped file, `measured.json`, is made by
`harness atlas --build` from the runs under `results/`, and never edited by hand.
"""
