"""A task that replaces itself by another one (`self.replace`), in a call without a worker.

In a worker the call of `replace` ends the task, by `Ignore`, and whoever asked gets what the other task answers. Celery's own
`Task.apply` gives that answer back to the task instead, which goes on with it, and cannot raise it (celery/app/task.py, 5.2 to
5.7). Here it is as in a worker. Python 3.7.
"""

import functools

KEPT = "harness_ended"  # of an Ignore: the result of the task that took over


def follow():
    """From now on; whoever calls this again changes nothing."""
    from celery.app.task import Task

    if not hasattr(Task.replace, KEPT):
        Task.replace, Task.apply = _ending(Task.replace), _answering(Task.apply)


def _ending(replace):
    @functools.wraps(replace)
    def ending(task, *args, **kwargs):
        from celery.exceptions import Ignore, ImproperlyConfigured
        from celery.result import EagerResult

        number = task.request.id
        try:
            ended = EagerResult(number, replace(task, *args, **kwargs), "SUCCESS")
        except (Ignore, ImproperlyConfigured):  # it is replaced in a worker's way, or cannot be by this
            raise
        except Exception as error:  # of the other task
            ended = EagerResult(number, error, "FAILURE")
        told = Ignore("Replaced by new task")  # Celery's own words
        setattr(told, KEPT, ended)
        raise told

    setattr(ending, KEPT, None)
    return ending


def _answering(apply):
    @functools.wraps(apply)
    def answering(task, *args, **kwargs):
        ended = apply(task, *args, **kwargs)
        return getattr(ended.result, KEPT, None) or ended

    return answering
