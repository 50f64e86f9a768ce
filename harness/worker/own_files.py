"""Which source files are the application's own. Python 3.7, standard library only."""

import os


class Own:
    """Which files are the application's own: those below its folders that are not installed there. A name that leads to no
    file from here, such as 'numpy/random/mtrand.pyx', was given to a code elsewhere."""

    def __init__(self, folders):
        self.folders = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self.known = {}

    def __call__(self, file):
        if file not in self.known:
            path = os.path.realpath(file)
            below = next((path[len(one) :] for one in self.folders if path.startswith(one)), None)
            installed = below is None or "site-packages" in below or "dist-packages" in below
            self.known[file] = not installed and (os.path.isabs(file) or os.path.exists(path))
        return self.known[file]
