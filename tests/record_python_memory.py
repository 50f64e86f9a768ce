"""Keep the memory in which the objects of `python_things.py` lie: `python -m tests.record_python_memory PYTHON …`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness.machine import python_layouts
from harness.machine.python_objects import Objects
from tests import stored_memory
from tests.python_reading import looked, stack

FOLDER = Path(__file__).parent
RUN = "exec(compile(open('python_things.py').read(), 'python_things.py', 'exec'))"  # so that no path of this machine is kept


def record(python: str) -> int:
    """Of one Python; its minor version."""
    minor = int(subprocess.check_output([python, "-c", "import sys; print(sys.version_info[1])"]))
    with subprocess.Popen([python, "-c", RUN], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        places = json.loads(process.stdout.readline())
        layout = python_layouts.of_process(process.pid)
        assert layout is not None, f"{python}: a version that is not known"
        with stored_memory.Recorded(process.pid) as memory:
            looked(objects := Objects(memory, layout), places)
            stack(objects, places["waiting"])
            stored_memory.save(minor, places, memory)
    return minor


if __name__ == "__main__":
    for one in sys.argv[1:]:
        print(f"3.{record(one)}")
