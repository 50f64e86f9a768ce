"""`harness gate`: whether a change made the serving of somebody's own application worse, asked on the machine that is there.

`checkouts` makes the two sides from the user's repository, `sides` runs trials of them, `rule` decides (pure), `gate` puts them
together and takes turns, `pages` and `screen` tell.
"""
