"""Native threads that a forked child lacks, by the library whose code they run, and what is known of that library after a fork.

`hangs` is said of those alone that were seen to: TensorFlow in our own runs; GNU's OpenMP in faiss, LightGBM, XGBoost and
PyTorch (a team of the parent's is waited for in the child's first parallel region; scikit-learn enters few, and never hung in
the atlas); Polars (a child waits for rayon's pool:
pola-rs/polars#8032; seen with 2.1). The others are told as a risk. What the atlas has of an engine is quoted beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import linked, words
from harness.live import measured
from harness.texts import few, visible


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`pattern`: of the library's path below site-packages, else of its name. `serves`: packages that compute
    with it, beside those that are linked to it. `hung`: packages that were seen to hang with it, if not all that it serves: of
    others, a call may never come to its threads. `pool`: names of its threads that calls wait for, if it has others, too.
    `safe`: what it does after a fork, in words, if that is safe."""

    name: str
    pattern: re.Pattern[str]
    hangs: bool = False
    safe: str = ""
    serves: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    pool: re.Pattern[str] = re.compile("")


BEGINS_ANEW = "it starts new ones after a fork"
ENGINES = (
    Engine(name="TensorFlow", pattern=re.compile(r"/tensorflow[^/]*/|/libtensorflow"), hangs=True,
           serves=("tensorflow", "keras", "tf_keras", "tensorflow_hub")),
    Engine(name="GNU OpenMP", pattern=re.compile(r"/libgomp"), hangs=True, hung=("faiss", "lightgbm", "xgboost", "torch")),
    Engine(name="Polars", pattern=re.compile(r"/_?polars[^/]*/"), hangs=True, serves=("polars",),
           pool=re.compile(r"polars-\d")),  # beside these, its allocator has threads, and begins them anew after a fork
    Engine(name="OpenBLAS", pattern=re.compile(r"openblas", re.IGNORECASE), safe=BEGINS_ANEW),
    Engine(name="Arrow", pattern=re.compile(r"/pyarrow/|/libarrow"), safe=BEGINS_ANEW),  # arrow/util/thread_pool.cc
    Engine(name="tokenizers", pattern=re.compile(r"/tokenizers/"), safe="it goes on without them after a fork, and warns"),
    Engine(name="JAX", pattern=re.compile(r"/jaxlib/|/jax_"), serves=("jax", "jaxlib", "keras", "flax")),
    Engine(name="PyTorch", pattern=re.compile(r"/torch/"), serves=("torch", "keras", "transformers", "sentence_transformers")),
    Engine(name="ONNX Runtime", pattern=re.compile(r"/onnxruntime/"), serves=("onnxruntime",)),
    Engine(name="gRPC", pattern=re.compile(r"/grpc/|cygrpc"), serves=("grpc", "google")),
    Engine(name="LLVM's or Intel's OpenMP", pattern=re.compile(r"/lib(iomp5|omp)")),
    Engine(name="TBB", pattern=re.compile(r"/libtbb")),
)  # fmt: skip
POOL = "prefork"
TODO = f"{words.FIRST_TASK}: what starts the engine's threads must not run in the main process"


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    threads = Counter(str(one["library"]) for one in looked["native"])
    return [_of(library, count, looked, folder) for library, count in sorted(threads.items())]


def _measured(library: str, packages: set[str]) -> str:
    """What the atlas has of the engines that this library is part of, or that are linked to it."""
    folder, mark, _ = library.rpartition("/site-packages/")
    told = measured.of_folder(f"{folder}{mark.rstrip('/')}", packages, POOL) if mark else ()
    return "; ".join(told)


def _of(library: str, count: int, looked: Mapping[str, Any], folder: Path) -> Finding:
    installed = "/" + (library.rpartition("/site-packages/")[2] if "/site-packages/" in library else Path(library).name)
    engine = next((one for one in ENGINES if one.pattern.search(installed)), None)
    shown = visible(Path(library).name) or "a library that cannot be told"
    names = sorted({str(one["name"]) for one in looked["native"] if one["library"] == library})
    threads, natives = words.counted(count, "thread"), words.counted(count, "native thread")
    evidence = (f"{natives} of {shown} in the parent, none in the child ({few([visible(one) for one in names])})",)
    packages = linked.packages(library, looked["libraries"]) | set(engine.serves if engine else ())
    named = engine.hung or engine.serves if engine else ()
    reached = [(root, str(label)) for root, label in looked["packages"].items() if root in packages]
    reached.sort(key=lambda one: (one[0] not in named, one))
    name = engine.name if engine else shown
    if engine is not None and (engine.safe or not any(map(engine.pool.search, names))):
        return Finding(
            rule="lost-engine", level=Level.NOTE, todo="nothing", evidence=evidence,
            what=f"{threads} of {name} in the main process alone; {engine.safe or 'no call waits for these'}",
        )  # fmt: skip
    through = f", which tasks use through {visible(reached[0][1])}" if reached else "; no task is seen to use it"
    file, line = words.made_at(reached[0][1], folder) if reached else ("", 0)
    sure = engine is not None and engine.hangs and any(root in (engine.hung or engine.serves) for root, _ in reached)
    risk = "; if a call waits for them, it does so for ever in a forked child" if reached else ""
    end = ": a call that needs them waits for ever in a forked child" if sure else risk
    return Finding(
        rule="lost-engine", level=Level.ERROR if sure else Level.WARNING if engine or reached else Level.NOTE, todo=TODO,
        what=f"{threads} of {name} in the main process alone{through}{end}", evidence=evidence, file=file, line=line,
        measured=_measured(library, packages), made=str(reached[0][1]) if reached else "",
    )  # fmt: skip
