"""A backend that is no part of this package, to paste: its own file serves the model, as it did when it was measured."""

import os
from typing import Optional, Sequence

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    """`reference`: FILE.py:Class, as the backend was named. What limits its threads stands in its `configure`."""

    model_file = "bundle"  # the folder that its `load` was given

    def __init__(self, reference: str, calls: Sequence[str]) -> None:
        path, _, cls = reference.rpartition(":")
        module = os.path.splitext(os.path.basename(path))[0]
        self.imports = "import %s" % module
        self.calls = {call: Call("{model}({rows})") for call in calls}
        self.backend = "%s.%s()" % (module, cls)

    def load(self, call: str, *, path: str, intra: Optional[int], inter: Optional[int]) -> str:
        return "\n    ".join(
            [
                "def load():",
                self.imports,
                "backend = " + self.backend,
                "backend.configure(intra=%s, inter=%s, cache_dir='.')" % (intra, inter),
                "return backend.caller(backend.load(%s), %r)" % (path, call),
            ]
        )
