"""What a fork of somebody's application would lose: `python -m harness.worker.fork_look SPEC OUT`, in its own interpreter.

The application is brought to where Celery's prefork main process forks: imported, its worker made, the signals sent that a
worker sends until then. Then this process forks once. The child says which of some locks it finds locked, waits until its
parent has looked at it, and ends by `os._exit`: it runs nothing of the application's. With a task, further children call it
(`fork_calls`); with no forks in SPEC it is called here. OUT gets a line (JSON) for each thing that is known, as soon as it is.
SPEC: contract.CHECK_SPEC_KEYS. Python 3.7, standard library only.
"""

import json
import os
import sys
import threading
import traceback

# taken before the application may patch them, as gevent and eventlet do
from os import fork, waitpid
from select import select
from threading import get_ident
from time import monotonic, sleep

from harness.worker import (
    carried_files,
    fork_calls,
    generators,
    held,
    holders,
    hooks,
    own_broker,
    own_files,
    own_process,
    own_settings,
    polled,
    private_servers,
    raised,
    reached,
    recorded,
    run_first,
    shared_objects,
    shared_pages,
    their_app,
    unstarted,
)

GLANCES, GLANCE_S = 16, 0.04  # a worker forks about so long after its import
CHILD_S = 5.0
MOST_STACK = 14
SETTINGS = ("worker_pool", "task_time_limit", "task_soft_time_limit", "worker_proc_alive_timeout", "worker_max_tasks_per_child")


def own_tasks(app, own):
    """{name: task} of those whose code is the application's own."""
    found = {}
    for name, task in app.tasks.items():
        run = getattr(task, "_orig_run", None) or task.run
        code = getattr(getattr(run, "__func__", run), "__code__", None)
        if not name.startswith("celery.") and (code is None or own(code.co_filename)):
            found[name] = task
    return found


def of_tasks(app, own):
    """The reach of all tasks, and of what each new child runs first."""
    found = reached.Reach(own)
    for name, task in own_tasks(app, own).items():
        found.add(getattr(task, "_orig_run", None) or task.run, name)
    run_first.added(found)
    return found


def of_thread(thread, own):
    found = reached.Reach(own)
    if type(thread).__module__ != "threading":
        found.add(thread, thread.name)
    for target in ("_target", "function"):
        function = getattr(thread, target, None)
        if function is not None:
            values = list(getattr(thread, "_args", None) or getattr(thread, "args", None) or ())
            values += list((getattr(thread, "_kwargs", None) or getattr(thread, "kwargs", None) or {}).values())
            found.add_call(function, values, thread.name)
    return found


def threads(tasks, own):
    """[{ident, name, …}] of the threads of Python's that a child would lack."""
    by, now, found = {id(thread): stack for thread, stack in recorded.STARTED}, sys._current_frames(), []
    known = {thread.ident: thread for thread in threading.enumerate()}
    functions, unread = polled.functions(own), polled.unread(tasks)
    for ident in now:
        thread = known.get(ident)
        if ident == get_ident():
            continue
        told = {"ident": ident, "name": "a thread without a name", "kind": "", "target": "", "by": [], "shared": [],
                "stands": recorded.stack(now[ident])[:MOST_STACK]}  # fmt: skip
        if thread is not None:
            (kind, target), reach = who(thread), of_thread(thread, own)
            told.update(
                name=thread.name, kind=kind, target=target, by=by.get(id(thread), [])[:MOST_STACK],
                shared=shared_objects.shared(tasks, reach, functions) + holders.held(tasks, thread, reach, functions)
                + polled.of_names(tasks, reach, functions),
                again=shared_objects.starts_again(tasks, thread, run_first.names()),
            )  # fmt: skip
            for each in told["shared"]:
                each["elsewhere"] += unread
        found.append(told)
    return found


def glances(tasks):
    """What locks others hold, looked at several times: {id: [lock, ident, file, line, times]}, {module: [ident, times]}."""
    locks = [value for _, value, _ in tasks.objects.values() if type(value) in held.LOCKS]
    found, imports = {}, {}
    for _ in range(GLANCES):
        for lock, ident, file, line in held.held_by_others(locks):
            entry = found.setdefault(id(lock), [lock, ident, file, line, 0])
            entry[4] += 1
        for name, ident in held.imports_of_others().items():
            imports.setdefault(name, [ident, 0])[1] += 1
        sleep(GLANCE_S)
    for lock in locks:  # locked, and nobody is seen to hold it
        if held.is_locked(lock) and held.owner(lock) in (0,):
            found.setdefault(id(lock), [lock, 0, "", 0, 0])
    return found, imports


def in_child(locks, labelled):
    """What the forked child says of itself: which of these locks are locked, which labels lead to another object now (whoever
    heard of the fork has made a new one), and which threads of Python's there are."""
    return {
        "locked": [held.is_locked(lock) for lock in locks],
        "imports": sorted(held.imports_of_others()),
        "renewed": [label for label, value, root in labelled if shared_objects.is_renewed(label, value, root)],
        "threads": [who(thread) for thread in threading.enumerate() if thread.ident != get_ident()],
    }


def who(thread):
    """[class, function] of a thread."""
    target = getattr(thread, "_target", None) or getattr(thread, "function", None)
    return ["%s.%s" % (type(thread).__module__, type(thread).__name__), getattr(target, "__qualname__", "")]


def forked_once(locks, labelled, before):
    """What the child of one fork has and shares, seen from its parent; it is ended before this returns."""
    (answers, answer), (gate, opener) = os.pipe(), os.pipe()
    parent_threads = own_process.tids("self")
    pid = fork()
    if pid == 0:
        try:
            os.write(answer, json.dumps(in_child(locks, labelled)).encode())
            os.close(opener)
            os.read(gate, 1)
        finally:
            os._exit(0)
    os.close(answer)
    ready = select([answers], [], [], CHILD_S)[0]
    told = json.loads(os.read(answers, 1 << 20).decode() or "{}") if ready else {}
    told.update(
        answered=bool(ready), thread_count=len(own_process.tids(pid)), parent_thread_count=len(parent_threads),
        memory=own_process.memory(pid), parent_memory=own_process.memory("self"),
        descriptors=shared_objects.opened(before, own_process.descriptors(pid)),
    )  # fmt: skip
    for each in (answers, gate, opener):
        os.close(each)
    if not ready:
        os.kill(pid, 9)
    waitpid(pid, 0)
    return told


def look(app, own, before, say):
    tasks = of_tasks(app, own)
    locks, imports = glances(tasks)
    python, native = threads(tasks, own), own_process.native_threads()  # after that: what has ended by now is not lost
    chosen = list(locks.values())
    parents = own_process.descriptors("self")
    known = [(label, value) for label, value, users in tasks.objects.values() if users and shared_objects.is_carried(value)]
    labelled = [(label, value, shared_objects.resolved(label, value)) for label, value in known]
    child = forked_once([entry[0] for entry in chosen], labelled, before)
    opened = {number: where for number, where in child.pop("descriptors").items() if parents.get(number) == where}
    peers = own_process.peers()
    linked = {number: [where] + peers[where] for number, where in opened.items() if where in peers}
    first = run_first.added(reached.Reach(own))
    anew = shared_objects.made_anew(first, [label for label, _, _ in tasks.objects.values()])
    by = shared_objects.connections(tasks, set(linked), anew)
    say(
        threads=python, native=native, libraries=own_process.libraries(), pools=shared_objects.pools(tasks),
        futures=shared_objects.futures(tasks, python), channels=carried_files.channels(tasks),
        paths=carried_files.paths(tasks),
        packages=tasks.packages, at_fork=recorded.AT_FORK, child=child, glances=GLANCES,
        imports=[
            {"module": name, "ident": ident, "times": times, "in_child": name in child.get("imports", ()),
             "tasks": [shared_objects.place(code) for code in tasks.imports.get(name, {}).values()]}
            for name, (ident, times) in imports.items()
        ],
        locks=[held_lock(entry, locked, tasks) for entry, locked in zip(chosen, child.get("locked", [False] * len(chosen)))],
        connections=[
            {"descriptor": number, "what": what[1:], "reached": by.get(number, ("", False))[0],
             "aware": by.get(number, ("", False))[1]} for number, what in sorted(linked.items())
        ],
        anew=anew,
        databases=carried_files.databases(tasks), reading=carried_files.files(tasks), locking=carried_files.locked(tasks),
        generators=generators.copied(tasks, first), mapped=shared_pages.mapped(tasks),
        files=sorted(where for where in opened.values() if where.startswith(("/", "pipe:")) and "/site-packages/" not in where),
    )  # fmt: skip


def held_lock(entry, locked, tasks):
    lock, ident, file, line, times = entry
    label, _, users = tasks.objects.get(id(lock), ("", None, {}))
    return {"label": label, "ident": ident, "file": file, "line": line, "times": times, "in_child": locked,
            "kind": type(lock).__name__, "tasks": [shared_objects.place(code) for code in users.values()],
            "aware": shared_objects.looks_at_pids(tasks, users)}  # fmt: skip


def imported(app, own, worker_failed, took_s):
    import celery

    conf = app.conf
    options = dict(conf.get("broker_transport_options") or {})
    return {
        "took_s": took_s, "celery": celery.__version__, "python": "%d.%d.%d" % sys.version_info[:3],
        "worker_failed": worker_failed, "settings": {name: plain(conf.get(name)) for name in SETTINGS},
        "pool_settings": own_settings.of_pool(conf),
        "visibility_timeout": plain(options.get("visibility_timeout")),
        "broker": own_broker.of_settings(conf, "broker"), "ready": hooks.receivers("worker_ready"),
        "tasks": [
            {"name": name, "hard_s": plain(task.time_limit), "soft_s": plain(task.soft_time_limit),
             "code": code_of(task)}
            for name, task in sorted(own_tasks(app, own).items())
        ],
    }  # fmt: skip


def code_of(task):
    run = getattr(task, "_orig_run", None) or task.run
    code = getattr(getattr(run, "__func__", run), "__code__", None)
    return shared_objects.place(code) if code is not None else ["", 0, ""]


def plain(value):
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def main(spec_path, out_path):
    with open(spec_path) as file:
        spec = json.load(file)
    recorded.install()
    before, begun = own_process.descriptors("self"), monotonic()
    out = os.open(out_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(**told):
        os.write(out, json.dumps(dict(told, at_s=monotonic() - begun), default=str).encode() + b"\n")

    try:
        their_app.served_by_itself()
        their_app.as_worker(spec["app"])
        app = their_app.found(spec["app"])
        private_servers.lead(app)
        failed = unstarted.made(app, "prefork", "harness@check")
        private_servers.lead(app)  # a receiver may have set them
        if spec["task"]:
            their_app.called(app, spec["task"])  # a wrong name is told before anything else
        own = own_files.Own({os.getcwd(), home_of(app)})
        say(imported=imported(app, own, failed, monotonic() - begun))
        if spec["forks"]:
            look(app, own, before, say)
        if spec["task"] and spec["forks"]:
            fork_calls.in_children(app, spec, say)
        elif spec["task"]:
            fork_calls.alone(app, spec, say)
        say(done=True)
    except BaseException as error:
        if not their_app.is_told(error):
            traceback.print_exc()
        sys.stdout.flush()  # the application's last words: os._exit would drop them
        say(failed=raised.told(error))
    finally:
        os._exit(0)


def home_of(app):
    """The folder of the package that the application's module is in."""
    module = sys.modules.get(app.main or "") or sys.modules.get(getattr(app, "__module__", "") or "")
    file = getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file and module.__name__ != "__main__" else os.getcwd()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
