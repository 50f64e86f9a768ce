"""Tasks of somebody's own application that are none of our requests: which of them run now.

An application may send itself further tasks. Each gets a number of its process, since its id does not fit into an event. Its
name goes to a file beside the events, for whoever says what an executor is busy with. Python 3.7, standard library only.
"""

import itertools
import os

from harness.worker import contract, heartbeat

_numbers = itertools.count()
_running = {}  # task id -> numbers: a task that is delivered twice may run twice at a time


def begun(directory, task_id, name):
    """Tell that a task begins here."""
    number = next(_numbers)
    _running.setdefault(task_id, []).append(number)
    with open(os.path.join(directory, contract.OTHERS_FILE_NAME.format(pid=os.getpid())), "a") as file:
        file.write("%d %s\n" % (number, name))
    heartbeat.emit(contract.OTHER_BEGIN, number)


def ended(task_id):
    """Tell that it has ended; nothing where its beginning was not seen."""
    numbers = _running.get(task_id)
    if not numbers:
        return
    heartbeat.emit(contract.OTHER_END, numbers.pop())
    if not numbers:
        _running.pop(task_id, None)
