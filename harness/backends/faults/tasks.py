"""Other tasks of the same worker: one that a request waits for, and one that it leaves behind."""

import time

HANDED_ON = "faulty.handed_on"


def own_worker(value):
    """Wait for a subtask that only this worker could run: in the end every executor waits so."""
    from celery import current_task

    subtask = current_task.app.tasks["celery.accumulate"]
    subtask.delay(1).get(disable_sync_subtasks=False)


def hand_on(value):
    """Leave the real work, of `value` seconds, to a second task of this worker."""
    from celery import current_task

    current_task.app.tasks[HANDED_ON].delay(value)


def have_second_task(value):
    """Give the application that second task."""
    from celery import current_app

    @current_app.task(name=HANDED_ON, ignore_result=True)
    def handed_on(seconds):
        time.sleep(seconds)


FAULTS = {"own-worker": own_worker, "hand-on": hand_on}
