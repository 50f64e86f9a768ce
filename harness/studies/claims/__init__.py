"""The claims and the public incidents: which cells answer them, what their records say, and the pages that tell it.

`cases` makes a verdict of cells and records; `claims` and `incidents` are data, `threads` are claims that an experiment's file
holds; `claims_page`, `threads_page` and `incidents_page` write.
"""
