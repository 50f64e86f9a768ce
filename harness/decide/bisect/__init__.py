"""Which release of a package, or which commit, changed a cell's outcome or pace: the search, for any kind of candidate.

`releases` runs a cell of an experiment on one release; what runs somebody's own application is in `applications.bisect`.
"""
