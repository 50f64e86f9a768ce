"""What has been measured before: how trials of each kind ended, and why, by engine, pool, placement, parent, call and size.

`entries` says what the atlas holds, `making` makes it from runs, `stored` reads and writes the file; `against` says what of it
speaks against a configuration, `engines` what an engine is called, `answer` what it says of one in a sentence, for its own verb
and for others to quote, `pages` prints it and `site` makes pages of the docs. The shipped file, `measured.json`, is made by
`harness atlas --build` from the runs under `results/`, and never edited by hand. But for `making`, nothing here needs more than
the base install.
"""
