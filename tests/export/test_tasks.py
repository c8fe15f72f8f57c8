"""Every task that is installed is exported, and what comes of it predicts what the run does.

Every run of `RUNS` is exported as torch-export, which traces its graphs, and as safetensors. ONNX
writes the same traced graphs, so it is tried once for each way in which tasks are computed: by one
graph of inputs of one size or of any length; by one graph of several modalities, some of them
missing; by an encoder for each modality; by graphs that write step by step, from nothing, from
a prefix, or from a source that is read or heard. `ALIKE` names the runs that are left out, each
with the one that stands for it. A new task is tried in all formats unless it is put there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmft_core import TaskSpec, discover
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Graph, Split
from mmft_core.contracts.callbacks import Callback
from mmft_core.data.splits import Unlabelled
from mmft_core.inference import opening
from mmft_core.inference.predictor import Predictor, choose_split
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.run.build import build_dataset
from mmft_core.run.directory import RunDirectory
from mmft_export import exporting
from mmft_export.comparison import leaves
from mmft_export.exporting import export
from mmft_export.request import ExportRequest
from mmft_export.tracing import Traced, trace
from tests.export.runs import RUNS
from tests.export.tools import same

FORMATS = ("torch-export", "onnx", "safetensors")

ALIKE = {
    "image-retrieval": "image-cls",
    "text-retrieval": "text-cls",
    "language-modeling": "text-cls",
    "audio-cls": "asr",
    "fusion-reg": "fusion-cls",
}
"""One graph as well, of the same kinds of inputs, with another head."""

ELSEWHERE = {
    "chat",
    "detection",
    "fusion-multilabel",
    "image-multilabel",
    "preference",
    "text-multilabel",
}
"""Tasks whose exports, or why there are none, are tested beside them."""

CASES = [(name, kind) for name in RUNS for kind in FORMATS if kind != "onnx" or name not in ALIKE]


def test_a_run_of_every_task_is_there() -> None:
    tasks = {component.name for component in discover().of(TaskSpec)}
    assert {name.partition("/")[0] for name in RUNS} == tasks - ELSEWHERE
    assert {*ALIKE.values()} <= {name for name, kind in CASES if kind == "onnx"}


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: None, one_layer: None
) -> Callable[[str], Path]:
    """Make a run by its name, once for all formats."""
    return functools.cache(lambda name: RUNS[name](tmp_path_factory.mktemp("export")))


@pytest.fixture(scope="module")
def graphs() -> dict[tuple[str, str], Traced]:
    """What is traced, by run and graph: that takes longer than all the rest."""
    return {}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_latencies", "onnx_operators")
@pytest.mark.parametrize("name, kind", CASES)
def test_an_export_predicts_what_the_run_does(
    name: str,
    kind: str,
    runs: Callable[[str], Path],
    graphs: dict[tuple[str, str], Traced],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In batches of other sizes, and of other lengths, than that which was traced."""

    def cached(graph: Graph) -> Traced:
        key = (name, graph.name)
        if key not in graphs:
            graphs[key] = trace(graph)
        return graphs[key]

    monkeypatch.setattr(exporting, "trace", cached)
    run, registry = runs(name), discover()
    place, found = export(
        run, ExportRequest(kind=kind, samples=4, batch_size=1), registry, Callback()
    )
    assert found.samples and (found.alike is None or found.alike == 1)
    split = samples(run)
    there, here = (
        Predictor(opening.load(path, registry), EngineConfig(precision="fp32", device="cpu"))
        for path in (place, run)
    )
    for chosen in ([0], [1, 2, 3, 4, 5, 6, 7], [2, 0]):
        wanted, got = (leaves(predicted(p, split, chosen)) for p in (here, there))
        assert len(wanted) == len(got) > 0
        for one, other in zip(wanted, got, strict=True):
            same(one, other)


def samples(run: Path) -> Split:
    plan = make_plan(RunDirectory(run).open(), discover())
    return Unlabelled(choose_split(build_dataset(plan), "train"))


def predicted(predictor: Predictor, split: Split, chosen: Sequence[int]) -> Any:
    task = predictor.model.task
    data = PreparedSplit(split, predictor.processors, task.codec, train=False)
    batch = data.collate([data[0, index] for index in chosen]).batch
    assert batch is not None
    return predictor.compute(batch)
