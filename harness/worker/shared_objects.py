"""What an application's tasks share with its threads, and the connections that they would share with their parent.

Told from two reaches (`reached.Reach`) by identity, and from attributes of the objects; no method of theirs is called, but
`fileno` of objects written in C. Python 3.7, standard library only.
"""

import gc
import os
import socket
import sys
import threading
import types

from harness.worker import codes, held, kept_answers, polled, reached
from harness.worker.codes import place

MOST_STEPS = 20000
MOST_DEEP = 12  # a connection of requests lies 9 objects below its session
FORK_WORDS = ("fork", "checkpid", "check_pid")
ASKING = frozenset(("is_alive", "isAlive", "getpid"))
CLOSING = frozenset(("close", "close_all", "dispose", "disconnect", "reset", "reconnect", "cache_clear"))
MUTABLE = (dict, list, set)
#: of these a state is what their attributes are
HOLDERS = ("owner", "holder")


def kind(value):
    """What it is between threads, '' if it is nothing of the sort."""
    concurrent, asyncio, pools = (sys.modules.get(name) for name in ("concurrent.futures", "asyncio", "multiprocessing.pool"))
    if type(value) in held.LOCKS:
        return "lock"
    for base in type(value).__mro__:
        if base.__module__ in ("threading", "queue", "_queue") and base.__name__ in (
            "Event", "Condition", "Semaphore", "Barrier", "Queue", "SimpleQueue", "Thread",
        ):  # fmt: skip
            return base.__name__
    if concurrent is not None and isinstance(value, concurrent.Executor):
        return "Executor"
    if concurrent is not None and isinstance(value, concurrent.Future):
        return "Future"
    if pools is not None and isinstance(value, pools.Pool):
        return "Pool"
    if asyncio is not None and isinstance(value, asyncio.AbstractEventLoop):
        return "loop"
    return "container" if isinstance(value, MUTABLE) or type(value).__name__ == "deque" else ""


def state(value):
    """What of it decides whether somebody waits."""
    own, what = reached.attributes(value), kind(value)
    if what == "lock":
        return {"locked": held.is_locked(value)}
    if what == "Event":
        return {"set": bool(own.get("_flag"))}
    if what in ("Queue", "Semaphore"):
        return {"most": own.get("maxsize"), "value": own.get("_value"), "size": len(own.get("queue") or ())}
    if what == "SimpleQueue":
        return {"size": value.qsize() if type(value).__module__ == "_queue" else None}
    if what == "Executor":
        idle = getattr(own.get("_idle_semaphore"), "_value", None)
        manager = own.get("_executor_manager_thread") or own.get("_queue_management_thread")
        threads = () if own.get("_shutdown") else own.get("_threads") or ()
        return {"threads": len(threads), "idle": idle, "most": own.get("_max_workers"), "managed": manager is not None,
                "processes": "_processes" in own, "python": list(sys.version_info[:2]), "idents": idents(value)}  # fmt: skip
    if what == "loop":
        return {"running": own.get("_thread_id") is not None, "idents": idents(value)}
    if what == "Future":
        return {"done": own.get("_state") not in (None, "PENDING", "RUNNING")}
    if what == "container":
        return polled.of_container(value)
    return {"idents": idents(value)} if what == "Pool" else {}


def idents(pool):
    """The threads of Python's that serve an executor, a pool of multiprocessing's or a loop."""
    found, stack = [reached.attributes(pool).get("_thread_id")], list(reached.attributes(pool).values())
    stack += [each for value in stack if isinstance(value, (list, set)) for each in list(value)]
    for value in stack:
        if isinstance(value, threading.Thread):
            found.append(value.ident)
        elif kind(value) == "Executor":
            found += [each.ident for each in list(reached.attributes(value).get("_threads") or ())]
    return [ident for ident in found if ident]


def resolved(label, value):
    """The object that a label leads to now; the value itself if the label leads nowhere."""
    parts = label.split(".")
    for count in range(len(parts) - 1, 0, -1):
        found = sys.modules.get(".".join(parts[:count]))
        if found is not None:
            for name in parts[count:]:
                own = vars(found) if isinstance(found, (type, types.ModuleType)) else reached.attributes(found)
                if name not in own:
                    return value
                found = own[name]
            return found
    return value


def is_renewed(label, value, root):
    """Whether a label leads to another object than before, its `root`; or to the same table, with the value no more in it."""
    if resolved(label, value) is not root:
        return True
    head, answers, path = label.partition("()")
    if answers and kind(value) not in ("", "container") and kept_answers.dropped(resolved(head, None), path, value):
        return True
    held_in = value is not root and isinstance(root, reached.CONTAINERS)
    return held_in and not any(each is value for each in reached.contents(root))


def made_anew(receivers, labels):
    """Those of these labels that a function which each new child runs first gives another object to, or closes: it is made, or
    connects, again. `receivers`: the reach of these functions."""
    names = {name for code in receivers.functions.values() for name in codes.bound(code)}
    closed = {
        label
        for label, _, users in receivers.objects.values()
        if any(CLOSING.intersection(codes.words(code)[0]) for code in users.values())
    }
    return [label for label in labels if label in closed or label.rpartition(".")[2] in names]


def looks_at_pids(tasks, users):
    """Whether these functions, or a library's in the same file, ask for the process's id: they may know of forks."""
    files = {code.co_filename for code in users.values() if not tasks.own(code.co_filename)}
    asking = (code for code in tasks.functions.values() if "getpid" in codes.words(code)[0])
    return any(code.co_filename in files or id(code) in users for code in asking)


def starts_again(tasks, thread, first):
    """Whether a child may start such a thread for itself: a function that tasks reach starts it, and asks whether it is alive
    or in which process it is; or one does that runs first in each child (`first`: names of these)."""
    function = getattr(thread, "_target", None) or getattr(thread, "function", None)
    name = getattr(function, "__name__", None) or type(thread).__name__
    own = [code for code in tasks.functions.values() if tasks.own(code.co_filename)]
    asking = ASKING.union(code.co_name for code in own if ASKING & codes.words(code)[0])
    for code in own:
        named = codes.words(code)[0]
        if "start" in named and name in named and (asking & named or code.co_name in first):
            return True
    return False


def shared(tasks, thread, known=None):
    """[{label, kind, state, tasks, thread, elsewhere, bases, aware}] of what both reach; `tasks` and `thread` are the functions
    that name it, `elsewhere` those of the others (`known`: all that there are) that do, `bases` see `polled.bases`."""
    found, outer = [], {}
    for number, (label, value, users) in tasks.objects.items():
        outer.setdefault(label, number)  # what stands in a container has its label, and comes after it
        if number not in thread.objects or not kind(value) or not users:
            continue
        theirs = thread.objects[number][2]
        if kind(value) == "container" and not any(thread.own(each.co_filename) for each in theirs.values()):
            continue
        seen = state(value) if outer[label] == number or kind(value) != "container" else {}
        found.append(told(tasks, label, value, kind(value), seen, users, theirs, known))
    return found


def told(tasks, label, value, what, seen, users, theirs, known):
    """What two reaches share, in a form for JSON."""
    known = polled.functions(tasks.own) if known is None else known
    names = set(seen["slots"]) if what in HOLDERS else {polled.name_of(label)}
    others = polled.elsewhere(known, names, value, set(users).union(theirs))
    others += polled.hidden(known) if what in HOLDERS else polled.handed_on(value, label) if seen else []
    outer = label if what in HOLDERS else label.rpartition(".")[0]
    holder = value if what in HOLDERS else sys.modules.get(outer) or resolved(outer, None)
    return {
        "label": label, "kind": what, "state": seen, "tasks": [place(each) for each in users.values()],
        "thread": [place(each) for each in theirs.values()], "aware": looks_at_pids(tasks, users),
        "elsewhere": others, "bases": polled.bases(known, outer, holder),
    }  # fmt: skip


def pools(tasks):
    """Likewise, of executors, pools and loops that tasks reach: they have threads of their own."""
    return [
        {
            "label": label,
            "kind": kind(value),
            "state": state(value),
            "tasks": [place(each) for each in users.values()],
            "aware": looks_at_pids(tasks, users),
        }
        for label, value, users in tasks.objects.values()
        if kind(value) in ("Executor", "Pool", "loop")
    ]


def futures(tasks, threads):
    """Likewise, of futures that are not done, but for those which the reach of a thread (`threads`, as told) has, too. Who does
    an executor's work ends its future."""
    known = {each["label"] for thread in threads for each in thread["shared"] if each["kind"] == "Future"}
    work = {id(reached.attributes(each).get("future")) for each in gc.get_objects() if type(each).__name__ == "_WorkItem"}
    functions, found = polled.functions(tasks.own), []
    for number, (label, value, users) in tasks.objects.items():
        if users and kind(value) == "Future" and not state(value)["done"] and label not in known:
            found.append(told(tasks, label, value, "Future", {} if number in work else state(value), users, {}, functions))
    return found


def connections(tasks, numbers, anew=()):
    """{descriptor: (label of what a task reaches it by, whether who uses that asks for the process's id)} of these sockets, as
    far as no object on the way knows of forks. `anew`: labels of objects that each child makes anew before its first task."""
    sockets = {}
    for each in gc.get_objects():
        try:
            if isinstance(each, socket.socket) and each.fileno() in numbers:
                sockets[id(each)] = each.fileno()
        except Exception:  # an object that stands for another one, and raises
            continue
    found, steps = {}, 0  # begun at what the application names: a library's may lie behind what knows of forks
    seen = {id(value) for label, value, _ in tasks.objects.values() if label in anew}
    own = [each for each in tasks.objects.values() if any(tasks.own(code.co_filename) for code in each[2].values())]
    aware = tuple(label + "." for label, _, users in own if looks_at_pids(tasks, users))
    waiting = [(value, (label, (label + ".").startswith(aware)), 0) for label, value, _ in own]
    waiting.sort(key=lambda each: each[1][1])
    while waiting and steps < MOST_STEPS:
        value, by, deep = waiting.pop(0)
        steps += 1
        if id(value) in seen or deep > MOST_DEEP or skipped(value):
            continue
        seen.add(id(value))
        number = sockets.get(id(value), -1)
        number = number if number >= 0 else native_fileno(value)
        if number in numbers:
            found.setdefault(number, by)
            continue
        parts = reached.contents(value) if isinstance(value, reached.CONTAINERS) else reached.attributes(value).values()
        waiting += [(part, by, deep + 1) for part in parts if not isinstance(part, reached.PLAIN)]
    return found


def skipped(value):
    """Functions, classes and modules lead everywhere; what knows of forks needs no help."""
    kind_ = type(value)
    if isinstance(value, (type, types.ModuleType, types.FunctionType, types.MethodType, threading.Thread)):
        return True
    if reached.is_celerys(kind_):
        return True
    names = [name for base in kind_.__mro__[:-1] for name in vars(base)] + list(reached.attributes(value))
    return any(word in name.lower() for name in names for word in FORK_WORDS)


def native_fileno(value):
    """Of an object whose `fileno` is written in C, as a database's connection has it; -1 of any other."""
    method = getattr(type(value), "fileno", None)
    if isinstance(method, types.MethodDescriptorType) and (type(value).__module__ or "").partition(".")[0] not in ("_io", "io"):
        try:
            return int(value.fileno())
        except Exception:
            return -1
    return -1


def is_carried(value):
    """Whether a child that has it from its parent may miss something: what serves it, or that it leads somewhere alone."""
    return bool(kind(value)) or isinstance(value, socket.socket) or native_fileno(value) >= 0


def opened(before, now):
    """{descriptor: where it leads} of those that came since, but for this process's own notes."""
    return {number: where for number, where in now.items() if before.get(number) != where and where != os.devnull}
