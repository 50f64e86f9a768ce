"""The `faulty` control: a `null` that misbehaves on request, so that every judgement can be tried on a known fault.

Options (a dict, from the cell's `fault`, kind[:value][@after][xTIMES][%PERCENT][+EVERY]): what each `kind` does stands in
`harness.backends.faults`. It strikes from the request number `after` on (counted in this process, 3 if not
given), so that a worker is warm and has made progress; at most `times` times in the whole worker, all its processes
together; at each request with a probability of `percent`; only in every `every`-th trial. Kinds that begin with
`outside-` are done to the worker from outside (`harness.trial.outside`); here they do nothing, or little to help.
"""

import os
import random

from harness.backends import null
from harness.backends.faults import ANSWER_FAULTS, DEAR_FAULTS, FAULTS, LOAD_FAULTS, peers

CALLS = ("predict",)
DEFAULT_AFTER = 3


def reply_twice(strikes):
    """Send the stored result of a task a second time, as a broker or worker that repeats itself would."""
    from celery import signals

    def repeat(task_id, task, **_):
        if strikes():
            key = task.backend.get_key_for_task(task_id)
            task.backend.client.publish(key, task.backend.client.get(key))

    signals.task_postrun.connect(repeat, weak=False)


class Strikes:
    """Says at each request whether the fault strikes now."""

    def __init__(self, options):
        self.options = options
        self.after = options.get("after", DEFAULT_AFTER)
        self.seen = 0
        self.dice = random.Random()
        every = options.get("every", 1)
        self.in_this_trial = options.get("trial", 1) % every == 0

    def __call__(self):
        self.seen += 1
        if not self.in_this_trial or self.seen <= self.after:
            return False
        if "percent" in self.options and self.dice.random() * 100 >= self.options["percent"]:
            return False
        return "times" not in self.options or self._claimed()

    def _claimed(self):
        """One of the worker's few strikes, if any is left: whoever makes the file has it."""
        for number in range(self.options["times"]):
            path = os.path.join(self.options["folder"], "strike-%d" % number)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
                return True
            except FileExistsError:
                continue
        return False


class Backend(null.Backend):
    name = "faulty"

    def __init__(self):
        self.options = {}

    def set_options(self, options):
        self.options = options
        peers.WHERE["folder"] = options.get("folder", "")

    def load(self, bundle_dir):
        kind = self.options.get("kind")
        act = LOAD_FAULTS.get(kind)
        if act is not None and Strikes(dict(self.options, after=0))():
            act(self.options.get("value", 0))
        if kind == "duplicate-reply":
            reply_twice(Strikes(self.options))
        return null.Backend.load(self, bundle_dir)

    def caller(self, model, call):
        answer = null.Backend.caller(self, model, call)
        kind, value = self.options.get("kind"), self.options.get("value", 0)
        act, change, dear = FAULTS.get(kind), ANSWER_FAULTS.get(kind), DEAR_FAULTS.get(kind)
        strikes, before = Strikes(self.options), [None]

        def predict(rows):
            right = answer(rows)
            if dear is not None:
                dear(value if strikes() else value / 100)
            elif (act or change) and strikes():
                if act is not None:
                    act(value)
                else:
                    right = change(right, before[0])
            before[0] = answer(rows)
            return right

        return predict
