"""Two runs side by side: what ended otherwise, what is really slower or dearer, and what cannot be said.

`sides` reads a run, `changes` compares two, by `outcomes` for how trials ended (both pure), `gate` decides whether a check
fails, `pages` prints for machines and pull requests; the terminal's form is in `display`. `harness compare` puts them together.
"""
