"""What `harness why` says of the consumer and of what waits, over plain facts; real workers in `integration`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.live import causes, combine, join
from harness.live.executor import State
from harness.live.facts import BrokerLook, Connection, Facts, Message, Moment
from harness.live.finding import Finding
from harness.live.kept import Kept
from harness.live.tasks import Task
from harness.machine.wires import Wire
from harness.observe.roles import Role
from tests.test_live import child, said, seen

MAIN, PORT, BROKER = 50, 6379, ("10.0.0.5", 6379)
CELERY = "/v/lib/python3.11/site-packages/celery"
LOOP = (("poll", "/v/site-packages/kombu/utils/eventio.py"), ("asynloop", f"{CELERY}/worker/loops.py"))
RETRY = (("sleep", "x.py"), ("retry_over_time", "/v/site-packages/kombu/utils/functional.py"), *LOOP[1:])
STOP = (("join", "/v/site-packages/billiard/pool.py"), ("stop", f"{CELERY}/worker/worker.py"))


def wire(port: int = 40001, **more: Any) -> Wire:
    values: dict[str, Any] = {"remote": BROKER, "state": "established", "watched": True, **more}
    return Wire(descriptor=port - 40000, local=("10.0.0.9", port), **values)


def client(port: int = 40001, command: str = "brpop", host: str = "10.0.0.9", **more: Any) -> Connection:
    return Connection(address=f"{host}:{port}", command=command, **more)


BUSY_ONE = client(command="psubscribe", idle_s=30.0, patterns=1)
ASKS = client(blocked=True)
HEARS = client(40003, "psubscribe", subscribed=1, patterns=1)
OTHER = client(50000, host="10.0.0.8", blocked=True)


def look(*connections: Connection, **more: Any) -> BrokerLook:
    return BrokerLook(**{"answers": True, "connections": connections, "queues": {"celery": 3}, **more})


def facts(broker: BrokerLook | None, looks: int = 9, *, wires: tuple[Wire, ...] = (wire(),), **more: Any) -> Facts:
    """The same moment again and again, half a second apart."""
    turns: Any = more.pop("turns", lambda number: number)
    values: dict[str, Any] = {
        "pool": "prefork", "role": Role.MAIN, "port": PORT, "idle": 2, "frames": (LOOP, LOOP), "age_s": 600.0, **more,
    }  # fmt: skip
    moments = tuple(
        Moment(at_s=100.0 + 0.5 * number, wires=wires, broker=broker, switches=turns(number)) for number in range(looks)
    )
    return Facts(main=MAIN, moments=moments, **values)


def found(given: Facts) -> dict[str, Finding]:
    return {one.cause: one for one in causes.found(given)}


def message(name: str = "a", **more: Any) -> Message:
    return Message(**{"id": name, "task": "shop.price", "queue": "celery", "age_s": 60.0, **more})


def test_a_worker_that_asks_and_has_nothing_to_do_has_no_cause() -> None:
    assert found(facts(look(ASKS, queues={}))) == {}


def test_a_connected_worker_that_asks_for_nothing_while_messages_wait_is_stuck() -> None:
    one = found(facts(look(BUSY_ONE)))["consumer-lost"]
    assert (one.state, "asks for no message; 3 messages wait in celery" in one.reason) == (State.STUCK, True)
    assert "none of its 1 connections" in one.support[0]
    assert "add_consumer" in one.now


@pytest.mark.parametrize(
    ("what", "changes", "state"),
    [
        ("too few looks", {"looks": 3}, State.WAITING),
        ("nothing waits", {"broker": look(BUSY_ONE, queues={})}, State.WAITING),
        ("not seen in its loop", {"frames": ((), ())}, State.WAITING),
        ("a loop that does not turn", {"turns": lambda number: 7}, State.WAITING),
        ("a loop that is late", {"wires": (wire(unread=3),)}, State.WAITING),
        ("not told to consume what waits", {"queues": ("late",)}, State.WAITING),
        ("prefetch may be full", {"broker": look(BUSY_ONE, unacked=2)}, State.UNKNOWN),
        ("it may be a store of results", {"broker": look(client(command="publish"))}, State.UNKNOWN),
        ("it may have been cancelled", {"broker": look(client(idle_s=60.0))}, State.UNKNOWN),
        ("what it holds may be under a prefix", {"broker": look(BUSY_ONE, prefixed=True)}, State.UNKNOWN),
        ("greenlets", {"pool": "gevent", "idle": None}, State.UNKNOWN),
    ],
)
def test_a_consumer_that_may_still_ask_is_not_stuck(what: str, changes: dict[str, Any], state: State) -> None:
    given = facts(**{"broker": look(BUSY_ONE), **changes})
    assert found(given)["consumer-lost"].state is state, what


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("it asks", {"broker": look(BUSY_ONE, ASKS)}),
        ("it has just asked", {"broker": look(client(idle_s=1.0))}),
        ("its connections are not known to the broker", {"broker": look(OTHER)}),
        ("its executors are busy", {"idle": 0, "busy": 2, "broker": look(BUSY_ONE, queues={})}),
        ("it runs a task in its main process", {"pool": "solo", "role": Role.RUNNING}),
        ("it connects again", {"frames": (LOOP, RETRY), "broker": look(BUSY_ONE)}),
        ("it shuts down", {"frames": (STOP, STOP), "broker": look(BUSY_ONE)}),
        ("greenlets hold what they may hold", {"pool": "gevent", "idle": None, "broker": look(BUSY_ONE, unacked=8)}),
        ("nobody could ask the broker", {"broker": None}),
        ("it is no Redis", {"broker": BrokerLook(answers=None)}),
    ],
)
def test_no_consumer_is_lost(what: str, changes: dict[str, Any]) -> None:
    assert "consumer-lost" not in found(facts(**{"broker": look(BUSY_ONE), **changes})), what


def test_a_worker_of_whose_main_process_nothing_of_celery_shows_is_not_said_to_work_while_messages_wait() -> None:
    timer = (("run", f"{CELERY}/utils/timer2.py"),)  # as of a prefork worker whose Python gevent has patched
    one = found(facts(look(BUSY_ONE), role=Role.UNKNOWN, frames=(timer, timer)))["consumer-lost"]
    assert one.state in (State.WAITING, State.UNKNOWN)


NAMELESS = Connection(address="/run/redis.sock:0", command="brpop", blocked=True)


def test_whose_a_connection_over_a_unix_socket_is_cannot_be_told() -> None:
    behind = facts(look(NAMELESS, queues={}, handed=(message(),), unacked=1), wires=(), idle=0, busy=2)
    assert join.has_others(behind) is None
    assert join.has_others(facts(look(ASKS))) is False
    assert join.has_others(facts(look(NAMELESS, ASKS, OTHER))) is True
    assert "prefetched-behind" not in found(behind)


def test_what_other_workers_run_is_not_in_this_ones_hands() -> None:
    broker = look(BUSY_ONE, unacked=1, handed=(message("theirs", age_s=2.0),))
    assert found(facts(broker, elsewhere=frozenset({"theirs"})))["consumer-lost"].state is State.STUCK


@pytest.mark.parametrize(("kombu", "state"), [("5.6.2", State.STUCK), ("5.7.0", State.UNKNOWN)])
def test_an_answer_outside_of_the_loop_proves_it_for_versions_that_put_none_aside(kombu: str, state: State) -> None:
    given = facts(look(BUSY_ONE, unacked=3), wires=(wire(unread=5, watched=False),), versions={"kombu": kombu})
    assert found(given)["consumer-lost"].state is state


@pytest.mark.parametrize(
    ("gossips", "others", "state"),
    [(True, (), State.STUCK), (False, (), State.UNKNOWN), (True, (HEARS,), State.UNKNOWN)],
)
def test_a_worker_that_hears_nobody_either_was_not_told_to_stop_consuming(
    gossips: bool, others: tuple[Connection, ...], state: State
) -> None:
    wires = (wire(), wire(40003)) if others else (wire(),)
    one = found(facts(look(client(idle_s=60.0), *others), wires=wires, gossips=gossips))["consumer-lost"]
    assert one.state is state
    assert any("subscribed to nothing" in text for text in one.support) is (state is State.STUCK)
    assert any("was cancelled" in text for text in one.support) is (state is State.UNKNOWN)


def keeps(selected: str, consumed: str, declared: str = "celery mail") -> Kept:
    names = [frozenset(text.split()) for text in (selected, consumed, declared)]
    return Kept(selected=names[0], consumed=names[1], declared=names[2])


CANCELLED = look(client(idle_s=60.0))  # it looks like that


@pytest.mark.parametrize(
    ("what", "kept", "changes", "cause", "state"),
    [
        ("nothing is selected", keeps("", ""), {}, "consumer-cancelled", State.WAITING),
        ("the broker cannot be asked", keeps("", ""), {"broker": None}, "consumer-cancelled", State.WAITING),
        ("it still works off what it has", keeps("", ""), {"busy": 1}, "consumer-cancelled", State.WORKS),
        ("one of two", keeps("mail", "mail"), {"queues": ("celery", "mail"), "broker": look(ASKS)}, "consumer-cancelled",
         State.WORKS),
        ("a consumer stands for what waits", keeps("celery", "celery"), {}, "consumer-lost", State.STUCK),
        ("none stands, and nobody has cancelled it by control", keeps("celery", ""), {}, "consumer-lost", State.UNKNOWN),
        ("it consumes another queue", keeps("celery mail", "mail"), {}, "consumer-lost", State.UNKNOWN),
        ("nothing was read", Kept(), {}, "consumer-lost", State.UNKNOWN),
    ],
)  # fmt: skip
def test_a_consumer_that_was_cancelled_is_told_from_one_that_was_lost_by_the_workers_memory(
    what: str, kept: Kept, changes: dict[str, Any], cause: str, state: State
) -> None:
    told = found(facts(**{"broker": CANCELLED, "kept": kept, **changes}))
    assert {name: one.state for name, one in told.items()} == {cause: state}, what


def test_what_was_cancelled_is_brought_back_by_name_and_what_waits_is_told_if_it_is_known() -> None:
    one = found(facts(CANCELLED, kept=keeps("", "", "celery")))["consumer-cancelled"]
    assert "3 messages wait in celery" in one.reason
    assert "add_consumer celery brings it back" in one.now
    assert "wait" not in found(facts(None, kept=keeps("", "")))["consumer-cancelled"].reason


def test_a_queue_under_another_name_was_not_cancelled() -> None:
    alias = facts(look(ASKS, queues={}), queues=("post",), kept=keeps("mail", "mail"))
    assert found(alias) == {}


def test_one_look_at_which_it_asked_is_enough() -> None:
    given = facts(look(BUSY_ONE))
    moments = (*given.moments[:4], replace(given.moments[4], broker=look(ASKS)), *given.moments[5:])
    assert "consumer-lost" not in found(replace(given, moments=moments))


def test_what_stands_unread_outside_of_the_loop_is_evidence_and_a_message_in_it_is_lost() -> None:
    empty = found(facts(look(BUSY_ONE), wires=(wire(unread=3, watched=False),)))["consumer-lost"]
    full = found(facts(look(BUSY_ONE), wires=(wire(unread=700, watched=False),)))["consumer-lost"]
    assert any("3 bytes of the broker stand unread at port 40001" in one for one in empty.support)
    assert ("is lost" in empty.now, "is lost" in full.now) == (False, True)


@pytest.mark.parametrize(("kombu", "named"), [("5.2.4", "kombu#2007"), ("5.6.2", "kombu#2630"), ("5.7.0", ""), ("5.2.2", "")])
def test_a_known_bug_stands_beside_the_symptom_it_explains(kombu: str, named: str) -> None:
    support = "; ".join(found(facts(look(BUSY_ONE), versions={"kombu": kombu}))["consumer-lost"].support)
    assert ("has a bug that does this" in support, named in support) == (bool(named), True)
    assert found(facts(look(ASKS, queues={}), versions={"kombu": kombu})) == {}


@pytest.mark.parametrize(
    ("versions", "state"), [({"kombu": "5.6.2"}, State.STUCK), ({"kombu": "5.7.0"}, State.WAITING), ({}, State.WAITING)]
)
def test_a_connection_that_the_broker_does_not_know_is_half_open(versions: dict[str, str], state: State) -> None:
    given = facts(look(BUSY_ONE, HEARS), wires=(wire(), wire(40002), wire(40003)), versions=versions)
    one = found(given)["half-open"]
    assert "consumer-lost" not in found(given)
    assert (one.state, "from 10.0.0.9:40002 to 10.0.0.5:6379" in one.support[0]) == (state, True)


def test_a_worker_whose_control_channel_is_dead_as_well_hears_of_it_at_its_next_ping() -> None:
    given = facts(look(BUSY_ONE), wires=(wire(), wire(40002)), versions={"kombu": "5.6.2"})
    assert found(given)["half-open"].state is State.WAITING


def test_where_the_broker_knows_no_connection_of_the_worker_nothing_is_half_open_and_that_is_told() -> None:
    given = facts(look(OTHER), wires=(wire(), wire(40002)))
    assert found(given) == {}
    assert "something stands between" in causes.hidden(given, "redis://b")[0]


def test_a_broker_that_we_do_not_reach_from_another_network_is_not_lost_while_the_worker_is_connected() -> None:
    assert "broker-lost" in found(facts(SILENT))
    apart = facts(SILENT, apart=True)
    assert found(apart) == {}
    assert "from a network of its own" in causes.hidden(apart, "redis://queue")[0]
    assert "no URL is known that leads to it" in causes.hidden(replace(apart, moments=()), "")[0]
    assert found(facts(SILENT, apart=True, wires=()))["broker-lost"].state is State.WAITING


def test_queues_under_one_of_several_prefixes_are_not_counted_and_that_is_told() -> None:
    assert (
        "('', 'a:'; global_keyprefix)" in causes.hidden(facts(look(ASKS, prefixed=True, prefixes=("", "a:"))), "redis://b")[0]
    )
    assert causes.hidden(facts(look(ASKS)), "redis://b") == ()


def test_a_control_channel_that_died_leaves_a_worker_that_works() -> None:
    given = facts(look(ASKS), wires=(wire(), wire(40002)))
    assert found(given)["control-plane-dead"].state is State.WORKS
    hears = facts(look(ASKS, HEARS), wires=(wire(), wire(40002), wire(40003)))
    assert "control-plane-dead" not in found(hears)


def test_what_is_sent_again_and_again_is_waited_for_until_tcp_gives_up() -> None:
    one = found(facts(None, wires=(wire(timer="retransmit", unsent=300),)))["half-open"]
    assert (one.state, "acknowledges nothing" in one.reason) == (State.WAITING, True)


DOWN = BrokerLook(answers=False, why="Error 111 connecting to 10.0.0.5:6379. Connection refused.")
WRONG = BrokerLook(answers=False, refused=True, why="invalid username-password pair or user is disabled.")
SILENT = BrokerLook(answers=False, why="Timeout reading from socket")


@pytest.mark.parametrize(
    ("broker", "wires", "cause"),
    [
        (DOWN, (), "broker-lost"),
        (DOWN, (wire(watched=False),), ""),  # ours is the wrong host
        (DOWN, (replace(wire(), remote=("10.0.0.6", 6380)),), ""),  # it turns with another one
        (WRONG, (), "broker-refusing"),
        (WRONG, (wire(watched=False),), ""),  # ours is the wrong password
        (SILENT, (), "broker-lost"),
        (SILENT, (wire(),), "broker-lost"),
        (DOWN, (wire(state="connecting"),), "broker-lost"),
    ],
)
def test_a_broker_is_lost_or_refuses_if_the_worker_has_no_connection_that_it_serves(
    broker: BrokerLook, wires: tuple[Wire, ...], cause: str
) -> None:
    told = found(facts(broker, wires=wires, frames=()))
    assert set(told) == ({cause} if cause else set())
    assert all(one.state is State.WAITING and broker.why in one.reason for one in told.values())


def test_a_connection_that_is_left_over_serves_nobody_while_the_worker_tries_to_connect() -> None:
    given = facts(WRONG, wires=(wire(watched=False),), frames=(RETRY, RETRY))
    one = found(given)["broker-refusing"]
    assert (one.state, "its main process stands in kombu's retry" in one.support) == (State.WAITING, True)
    assert found(replace(given, frames=(LOOP, RETRY))) == {}


def test_a_worker_that_connects_again_and_again_to_a_broker_that_answers_us_waits() -> None:
    assert found(facts(look(OTHER), wires=(), frames=(RETRY, RETRY)))["broker-lost"].state is State.WAITING
    assert found(facts(look(OTHER), wires=(), frames=(RETRY, LOOP))) == {}


def test_a_queue_that_nobody_asks_for_is_named_and_the_worker_works() -> None:
    one = found(facts(look(ASKS, OTHER, queues={"late": 2}), queues=("celery",)))["nobody-consumes-queue"]
    assert (one.state, one.reason) == (State.WORKS, "2 messages wait in late, and no connected worker asks for that queue")
    assert "celery worker -Q late" in one.now


@pytest.mark.parametrize(
    ("what", "broker", "queues"),
    [
        (
            "a consumer is at work, and may ask for it later",
            look(ASKS, client(50000, host="10.0.0.8", idle_s=9.0)),
            ("celery",),
        ),
        ("it was told to consume it", look(ASKS), ("celery",)),
        ("nothing waits", look(ASKS, queues={}), ()),
    ],
)
def test_a_queue_that_somebody_may_ask_for_is_not_named(what: str, broker: BrokerLook, queues: tuple[str, ...]) -> None:
    assert "nobody-consumes-queue" not in found(facts(broker, queues=queues)), what


def test_a_worker_whose_executors_are_all_busy_is_saturated_and_works() -> None:
    given = facts(look(BUSY_ONE, queues={"celery": 30}, unacked=8), idle=0, busy=2)
    assert found(given)["saturated"].state is State.WORKS
    assert found(replace(given, idle=1, busy=1)).get("saturated") is None
    fewer = tuple(replace(one, broker=look(BUSY_ONE, queues={"celery": 30 - n})) for n, one in enumerate(given.moments))
    assert found(replace(given, moments=fewer)) == {}


def test_other_workers_queues_are_not_this_ones() -> None:
    mail = look(BUSY_ONE, OTHER, queues={"mail": 30}, unacked=8)
    assert found(facts(mail, idle=0, busy=2)) == {}
    assert found(facts(look(client(command="publish"), queues={"celery": 30}), idle=0, busy=2)) == {}  # a store of results
    idle = found(facts(look(BUSY_ONE, OTHER, queues={"mail": 30})))["consumer-lost"]
    assert (idle.state, idle.reason.endswith("nothing waits in its queues")) == (State.WAITING, True)


def test_messages_behind_a_busy_worker_are_named_if_another_one_asks() -> None:
    held = (message("runs"), message("waits"))
    given = facts(
        look(BUSY_ONE, OTHER, queues={}, unacked=2, handed=held), idle=0, busy=1,
        tasks=(Task(pid=60, tid=60, id="runs", name="shop.price"),),
    )  # fmt: skip
    one = found(given)["prefetched-behind"]
    assert (one.state, "1 message is handed out (shop.price[waits])" in one.reason) == (State.WORKS, True)
    assert found(replace(given, elsewhere=frozenset({"waits"}))) == {}
    assert causes.doubtful(replace(given, moments=given.moments[:1]))


@pytest.mark.parametrize(("times", "named"), [(8, True), (5, True), (4, False), (0, False)])
def test_another_worker_need_not_ask_at_each_look(times: int, named: bool) -> None:
    """It asks anew every second, and not at once on a full machine."""
    held = (message("runs"), message("waits"))
    asks, between = (look(BUSY_ONE, one, queues={}, unacked=2, handed=held) for one in (OTHER, replace(OTHER, blocked=False)))
    given = facts(asks, idle=0, busy=1, tasks=(Task(pid=60, tid=60, id="runs"),))
    moments = [replace(one, broker=asks if n < times else between) for n, one in enumerate(given.moments[:8])]
    assert ("prefetched-behind" in found(replace(given, moments=tuple(moments)))) is named


def test_each_consumer_that_was_seen_blocked_does_not_ask_for_a_queue_in_which_messages_lie() -> None:
    both = [look(ASKS, OTHER, queues={"late": 2}), look(ASKS, replace(OTHER, blocked=False), queues={"late": 2})]
    given = facts(both[0], queues=("celery",))
    mixed = tuple(replace(one, broker=both[n % 2]) for n, one in enumerate(given.moments))
    assert "nobody-consumes-queue" in found(replace(given, moments=mixed))
    never = tuple(replace(one, broker=both[1]) for one in given.moments)
    assert found(replace(given, moments=never)) == {}


@pytest.mark.parametrize("changes", [{"put_off": True}, {"id": "runs"}])
def test_what_was_put_off_or_runs_is_not_behind_anything(changes: dict[str, Any]) -> None:
    broker = look(BUSY_ONE, OTHER, queues={}, unacked=1, handed=(message(**changes),))
    given = facts(broker, idle=0, busy=1, tasks=(Task(pid=60, tid=60, id="runs"),))
    assert "prefetched-behind" not in found(given)


def test_messages_that_nobody_runs_and_that_keep_a_worker_from_asking_are_named_and_not_called_stuck() -> None:
    given = facts(look(BUSY_ONE, unacked=1, handed=(message(),)), versions={"billiard": "4.2.4"})
    one = found(given)["poison-unacked"]
    assert (one.state, "billiard#451" in "; ".join(one.support)) == (State.UNKNOWN, True)
    assert set(found(given)) == {"poison-unacked"}  # it says why nothing is asked for
    young = look(BUSY_ONE, unacked=1, handed=(message(age_s=2.0),))
    assert "poison-unacked" not in found(facts(young))
    assert "poison-unacked" not in found(facts(look(BUSY_ONE, OTHER, unacked=1, handed=(message(),))))


@pytest.mark.parametrize("put_off", [False, True])
def test_what_the_worker_keeps_for_a_rate_limit_or_an_eta_is_neither_lost_nor_poison(put_off: bool) -> None:
    held = tuple(message(name, put_off=put_off) for name in "ab")
    keeps = Kept(requests=frozenset("ab"), most=2)
    given = facts(look(BUSY_ONE, unacked=2, handed=held), kept=keeps)
    assert found(given) == {}
    assert found(replace(given, kept=Kept(limited=frozenset({"shop.price"}), most=2))) == {}
    for less in (replace(keeps, requests=frozenset("a")), replace(keeps, most=4), replace(keeps, most=None)):
        assert set(found(replace(given, kept=less))) & {"consumer-lost", "poison-unacked"}


CONNECTS = (*RETRY[:2], ("Consumer.ensure_connected", f"{CELERY}/worker/consumer/consumer.py"), *LOOP[1:])


def test_a_consumer_that_connects_at_each_look_waits_for_its_broker_whatever_its_url() -> None:
    assert found(facts(None, port=0, frames=(CONNECTS, CONNECTS)))["broker-lost"].state is State.WAITING
    assert found(facts(None, port=0, frames=(CONNECTS, LOOP))) == {}
    assert found(facts(None, port=0, frames=(RETRY, RETRY))) == {}, "a store of results, say"


def test_one_request_in_two_executors_runs_twice() -> None:
    once, again = (Task(pid=pid, tid=pid, id="same", name="shop.price") for pid in (60, 61))
    assert found(facts(look(ASKS, queues={}), tasks=(once, again)))["redelivery-loop"].state is State.WORKS
    assert found(facts(look(ASKS, queues={}), tasks=(once,), elsewhere=frozenset({"same"})))["redelivery-loop"]
    assert found(facts(look(ASKS, queues={}), tasks=(once,))) == {}


@pytest.mark.parametrize("came_back", [True, False])
def test_of_a_request_that_runs_twice_each_process_is_told_and_whether_its_message_came_back(came_back: bool) -> None:
    looks = seen(child(role=Role.IDLE)).looks
    now_s = looks[-1].at_s
    tasks = tuple(Task(pid=60 + age, tid=60 + age, id="same", since_s=now_s - age) for age in (93, 7))
    handed = (message("same", redelivered=came_back), message("other", redelivered=True))
    given = replace(facts(look(ASKS, queues={}, unacked=2, handed=handed), tasks=tasks), looks=looks)
    one = found(given)["redelivery-loop"]
    assert one.support[0] == "it runs in process 153 for 93 s, process 67 for 7 s"
    assert any("redelivered" in text for text in one.support) is came_back
    assert one.since_s == 7


def test_a_worker_is_as_bad_as_the_worst_of_its_tasks_and_its_machinery() -> None:
    works, stuck = said(seen(child(role=Role.IDLE))), said(seen(child()))
    lost = causes.found(facts(look(BUSY_ONE)))
    full = causes.found(facts(look(BUSY_ONE, queues={"celery": 30}), idle=0, busy=2))
    assert [combine.combined(works, one).state for one in (lost, full)] == [State.STUCK, State.WORKS]
    assert combine.combined(works, lost).cause == "consumer-lost"
    told = combine.combined(works, full)
    assert (told.cause, told.reason.startswith("no task runs now; all its 2 executors")) == ("saturated", True)
    both = combine.combined(stuck, lost)
    assert (both.cause, both.broker["also"][0]["cause"]) == ("deadlock", "consumer-lost")
    assert combine.combined(works, ()) == works


def test_of_a_main_process_that_is_stopped_nothing_else_is_said() -> None:
    lost, stopped = causes.found(facts(look(BUSY_ONE))), said(seen(child(state="T")))
    assert combine.combined(stopped, lost).broker["also"][0]["cause"] == "consumer-lost"  # it is a child that is stopped
    main = replace(stopped, executors=(replace(stopped.executors[0], pid=stopped.pid, tid=stopped.pid),))
    assert combine.combined(main, lost) == main
