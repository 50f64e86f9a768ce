"""Public incidents, as data: what the thread reported, the cells that try it here, and what differs from the thread.

The rows are those of public threads (2017 to 2026) that one computer without a GPU can try. `experiments/incidents.toml`
holds the cells; `incidents_page` judges and writes. To add one: a row here, its cells there (a test compares the two).
"""

from __future__ import annotations

from dataclasses import dataclass

EXPERIMENT = "incidents"
ANSWERS = "answers"  # requests are answered, all rightly, at whatever pace
HUNG, RESPAWNING = "hung", "respawning"
OURS = "Our own small models, built from layers and weights, not read by `load_model`."
SLOW_LOAD = "prefork-c2-process-init-predict"


@dataclass(frozen=True)
class IncidentCheck:
    """One cell tried, by its id. `told`: what the thread says of it, `expected`: an outcome or ANSWERS; both '' where the
    thread says nothing, and we add what we saw."""

    told: str
    cell: str
    expected: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.cell,)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Seconds a request of one baseline over another's; as reported if at least `least`. `said`: the thread's own ratio."""

    told: str
    slow: str
    fast: str
    said: float
    least: float

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.slow, self.fast)


@dataclass(frozen=True, kw_only=True)
class Incident:
    source: str
    stack: str
    symptom: str
    helped: str
    differences: str
    checks: tuple[IncidentCheck | Ratio, ...] = ()
    contract: str = ""  # a word of the pool contracts that answer it (`harness contracts`)


INCIDENTS = (
    Incident(
        source="tensorflow#27074, keras#12531 (2019)",
        stack="TF 1.13.1, Keras 2.2.4, Celery 4.2.2, LSTM, load_model in Task.__init__",
        symptom="hangs when the inherited model is used",
        helped="“only changing back end to Theano”",
        differences=f"Celery 5.2.7 instead of 4.2.2 (Theano: 5.5.3). {OURS}",
        checks=(
            IncidentCheck("hangs", "tensorflow1-prefork-c1-task-init-predict-lstm", HUNG),
            IncidentCheck("Theano helps", "theano-prefork-c1-task-init-predict-lstm", ANSWERS),
            IncidentCheck("", "tensorflow2-prefork-c1-task-init-predict-lstm"),
        ),
    ),
    Incident(
        source="celery#4172 (2017)",
        stack="Keras, TF1, model shared by the children",
        symptom="stuck, nothing shown",
        helped="closed: not a bug",
        differences=f"Versions of 2019 (TF 1.13.1, Keras 2.2.4, Celery 5.2.7). {OURS}",
        checks=(IncidentCheck("stuck", "tensorflow1-prefork-c2-import-predict", HUNG),),
    ),
    Incident(
        source="tensorflow#8220, #14442, #2448",
        stack="TF1, the parent ran a session, then fork",
        symptom="the child hangs, only if the parent computed first",
        helped="run TensorFlow only in the children",
        differences="The threads fork by hand, here Celery does; TF 1.13.1, later than theirs; Keras on top.",
        checks=(
            IncidentCheck("the parent computed: hangs", "tensorflow1-prefork-c1-import-predict-predict", HUNG),
            IncidentCheck(
                "the same, the child's model its own", "tensorflow1-prefork-c1-first-task-predict-parent-predict", HUNG
            ),
            IncidentCheck(
                "the parent only built a graph: works", "tensorflow1-prefork-c1-first-task-predict-parent-build", ANSWERS
            ),
            IncidentCheck(
                "the parent only imported TensorFlow: works", "tensorflow1-prefork-c1-first-task-predict-parent-import", ANSWERS
            ),
            IncidentCheck("TensorFlow only in the child: works", "tensorflow1-prefork-c1-first-task-predict", ANSWERS),
        ),
    ),
    Incident(
        source="tensorflow#39431 (2020)",
        stack="TF 2.1, the parent predicts, then mp.Process; the child builds its own new model",
        symptom="still hangs",
        helped="nothing in the thread",
        differences="TF 2.21 and Keras 3 instead of TF 2.1; the fork is Celery's, not multiprocessing's.",
        checks=(
            IncidentCheck("the child hangs", "tensorflow2-prefork-c1-first-task-predict-parent-predict", HUNG),
            IncidentCheck("", "tensorflow2-prefork-c1-first-task-predict-parent-predict-tiny-dense"),
            IncidentCheck("", "tensorflow2-prefork-spawn-c1-first-task-predict-parent-predict"),
        ),
    ),
    Incident(
        source="tensorflow#51832 (2021)",
        stack="TF 2.6, the parent evaluated, then fork",
        symptom="one thread parked in a barrier wait; intra-op = 1 frees plain operations, `predict` still hangs",
        helped="partly: intra-op and inter-op = 1",
        differences="TF 2.21 instead of 2.6; “plain operations” are tried as `model(x)`; both limits, and each alone.",
        checks=(
            IncidentCheck("predict hangs", "tensorflow2-prefork-c1-import-predict-predict", HUNG),
            IncidentCheck("a plain call hangs", "tensorflow2-prefork-c1-import-predict-direct", HUNG),
            IncidentCheck(
                "intra-op = 1 alone: predict still hangs", "tensorflow2-prefork-c1-import-predict-predict-t1x2", HUNG
            ),
            IncidentCheck(
                "inter-op = 1 alone: predict still hangs", "tensorflow2-prefork-c1-import-predict-predict-t2x1", HUNG
            ),
            IncidentCheck("both = 1: predict still hangs", "tensorflow2-prefork-c1-import-predict-predict-t1x1", HUNG),
            IncidentCheck(
                "intra-op = 1 alone: a plain call is freed", "tensorflow2-prefork-c1-import-predict-direct-t1x2", ANSWERS
            ),
            IncidentCheck("", "tensorflow2-prefork-c1-import-predict-direct-t2x1"),
            IncidentCheck("both = 1: a plain call is freed", "tensorflow2-prefork-c1-import-predict-direct-t1x1", ANSWERS),
            IncidentCheck("", "tensorflow1-prefork-c1-import-predict-predict-t1x2"),
            IncidentCheck("", "tensorflow1-prefork-c1-import-predict-predict-t2x1"),
            IncidentCheck("", "tensorflow1-prefork-c1-import-predict-predict-t1x1"),
        ),
    ),
    Incident(
        source="keras#9964, #7099 (2017-18)",
        stack="the model in the parent; the child builds or loads its own",
        symptom="hangs on predict, on set_weights, at Embedding",
        helped="one process that owns the model",
        differences="No Embedding layer among our models; the stack in the evidence says where it hangs.",
        checks=(
            IncidentCheck("the parent loaded: hangs", "tensorflow1-prefork-c1-first-task-predict-parent-load", HUNG),
            IncidentCheck("the same with an LSTM", "tensorflow1-prefork-c1-first-task-predict-parent-load-lstm", HUNG),
            IncidentCheck("one owner works", "tensorflow1-in-process-c1-import-predict-single", ANSWERS),
        ),
    ),
    Incident(
        source="seldon-core#2220, gunicorn#2369",
        stack="TF 1.14 to 2.x, built before the fork",
        symptom="predict is stuck in the worker",
        helped="load after the fork",
        differences="Celery's prefork instead of gunicorn's preload; TF 1.15.5 and 2.21.",
        checks=(
            IncidentCheck("stuck", "tensorflow1_15-prefork-c1-import-predict", HUNG),
            IncidentCheck("stuck", "tensorflow2-prefork-c1-import-predict", HUNG),
            IncidentCheck("load after the fork works", "tensorflow1_15-prefork-c1-process-init-predict", ANSWERS),
            IncidentCheck("load after the fork works", "tensorflow2-prefork-c1-process-init-predict", ANSWERS),
        ),
    ),
    Incident(
        source="OpenTranscribe#631",
        stack="model load inside worker_process_init, longer than the start window of 4 s",
        symptom="children SIGKILLed every few seconds for hours, no task consumed, ping healthy",
        helped="a longer start window",
        differences="A load that sleeps for 6 s stands for the slow one, under each Celery version that we have. Children are "
        "replaced after five tasks (m5), for Celery arms its window when it starts a child in place of another, not for the "
        "first ones (`on_process_up` in its asynpool); the cells without m5 try just that. The last cell is TensorFlow 2 "
        "itself: its load takes as long as four imports at once take here. No pings were sent.",
        checks=(
            IncidentCheck(
                "children are killed, again and again", f"faulty@tensorflow1-{SLOW_LOAD}-w4-m5-load-sleep=6", RESPAWNING
            ),
            IncidentCheck("children are killed, again and again", f"faulty@theano-{SLOW_LOAD}-w4-m5-load-sleep=6", RESPAWNING),
            IncidentCheck(
                "children are killed, again and again", f"faulty@tensorflow2-{SLOW_LOAD}-w4-m5-load-sleep=6", RESPAWNING
            ),
            IncidentCheck("a longer window helps", f"faulty@tensorflow2-{SLOW_LOAD}-m5-load-sleep=6", ANSWERS),
            IncidentCheck("", f"faulty@tensorflow1-{SLOW_LOAD}-w4-load-sleep=6"),
            IncidentCheck("", f"faulty@theano-{SLOW_LOAD}-w4-load-sleep=6"),
            IncidentCheck("", f"faulty@tensorflow2-{SLOW_LOAD}-w4-load-sleep=6"),
            IncidentCheck("", "tensorflow2-prefork-c4-process-init-predict-w4-m10"),
        ),
    ),
    Incident(
        source="celery#7240 and others",
        stack="solo and gevent during a long predict",
        symptom="`inspect ping` gets no answer: the worker looks dead",
        helped="another pool",
        differences="Measured as a pool contract, by `harness contracts`.",
        contract="ping",
    ),
    Incident(
        source="tensorflow#40261",
        stack="tf.keras, tiny model",
        symptom="`predict` takes 35 ms, `model(x)` 0.13 ms",
        helped="call the model",
        differences="Keras 3.15 on TF 2.21; `model(x)` is not wrapped in a tf.function and its answer is copied to NumPy.",
        checks=(
            Ratio(
                told="predict is far slower than model(x)",
                slow="tensorflow2-in-process-c1-import-predict-tiny-dense-single",
                fast="tensorflow2-in-process-c1-import-direct-tiny-dense-single",
                said=35 / 0.13,
                least=2.0,
            ),
        ),
    ),
    Incident(
        source="keras#9388",
        stack="MLP predict on the CPU",
        symptom="TensorFlow “5x slower than Theano”",
        helped="-",
        differences="Our MLP (4.3 million weights) at one row a call; Theano is linked to OpenBLAS; Keras 2.2.4 and 2.3.1.",
        checks=(
            Ratio(
                told="TensorFlow is slower than Theano",
                slow="tensorflow1-in-process-c1-import-predict-digits-mlp-single",
                fast="theano-in-process-c1-import-predict-digits-mlp-single",
                said=5.0,
                least=2.0,
            ),
        ),
    ),
    Incident(
        source="keras#22307 (open, 2026)",
        stack="-",
        symptom="asks for a multi-backend benchmark with JSON or CSV, memory, CI",
        helped="-",
        differences="A wish, no symptom: nothing to reproduce. This project is an answer to it.",
    ),
)


def cell_ids(incident: Incident) -> list[str]:
    """The cells of an incident's checks, in order."""
    return [name for check in incident.checks for name in check.cells]
