"""What a plugin's objects return wrongly is told in one sentence that names the component."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished
from tests.core.conftest import Site
from tests.core.test_contracts import OUTSIDE

Mmft = Callable[..., Finished]

HOOKS = """
    from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

    @hookimpl
    def register_dataset():
        return [DatasetSpec(
            name="faulty-grids", summary="s", modalities=("grid",), targets=("spots",),
            build="acme_work:build_faulty",
        )]

    @hookimpl
    def register_backbone():
        return [BackboneSpec(
            name="faulty-net", summary="s", modality="grid", build="acme_work:FaultyNet"
        )]

    @hookimpl
    def register_task():
        return [TaskSpec(
            name="faulty", summary="s", modalities=("grid",), target="spots", predicts="spots",
            default_dataset="faulty-grids", default_metrics=(METRIC,), monitor=MONITOR,
            build="acme_work:Faulty", options=OPTIONS, defaults=ADVICE, from_scratch=SCRATCH,
        )]

    @hookimpl
    def register_metric():
        return [MetricSpec(
            name="faulty-hits", summary="s", measures="spots", build="acme_work:FaultyHits"
        )]
"""
WORK = """
    from dataclasses import dataclass, replace
    from typing import Annotated, Literal

    import torch
    from mmft_core.contracts import Dataset, DatasetInfo, Features, Outputs, SampleMean
    from msgspec import Meta
    from spots_work import GridNet, GridProcessor, Grids, SpotTask

    @dataclass(frozen=True)
    class Required:
        width: int

    @dataclass(frozen=True)
    class Bounded:
        width: Annotated[int, Meta(ge=1)] = 1

    @dataclass(frozen=True)
    class OutOfBounds:
        width: Annotated[int, Meta(ge=1)] = 0

    @dataclass(frozen=True)
    class Unlisted:
        loss: Literal["poisson", "l1"] = "huber"

    @dataclass(frozen=True)
    class Unresolved:
        width: "nosuchtype" = 32

    class Faulty(SpotTask):
        def forward(self, batch):
            outputs = super().forward(batch)
            FORWARD
            return outputs

        def decode(self, predictions, top_k=1):
            return super().decode(predictions)DECODE

        def rank(self, predictions, targets):
            found = super().rank(predictions, targets)
            return RANKS

    class FaultyHits(SampleMean):
        def scores(self, predictions, targets):
            return SCORES

        def compute(self):
            return COMPUTE

    class FaultyGrids(Grids):
        def __getitem__(self, index):
            if index == len(self):
                raise IndexError
            sample = super().__getitem__(index)
            return SAMPLE

        def sizes(self):
            return SIZES

        def origin(self, index):
            return ORIGIN

        def groups(self):
            return GROUPS

    def build_faulty(options, context):
        sizes = {"train": 64, "val": 24, "test": 24}
        splits = {name: FaultyGrids(name, size, "spots") for name, size in sizes.items()}
        return Dataset(info=DatasetInfo(name="faulty-grids"), splits=SPLITS)

    class FaultyProcessor(GridProcessor):
        def prepare(self, raw, *, train):
            found = super().prepare(raw, train=train)
            return PREPARE

    class FaultyNet(GridNet):
        def __init__(self, options, context):
            super().__init__(options, context)
            self.processor = FaultyProcessor()
            INIT

        def encode(self, inputs):
            found = super().encode(inputs)
            return ENCODE
"""
TASK = "The task 'acme/faulty' of mmft-acme 1.0 returned "
ADVISED = " It is recommended by the task 'acme/faulty' of mmft-acme 1.0."
DATA = "The dataset 'acme/faulty-grids' of mmft-acme 1.0 returned "
METRIC = "The metric 'acme/faulty-hits' of mmft-acme 1.0 returned "
NET = "The backbone 'acme/faulty-net' of mmft-acme 1.0 returned "
OPTIONS = "The options of the task 'acme/faulty' of mmft-acme 1.0 cannot be used: "


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(OUTSIDE))
    yield


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"FORWARD": "return outputs.loss, 3"}, TASK + "a tuple from `forward`, not Outputs."),
        (
            {"FORWARD": "return Outputs(outputs.loss * torch.ones(2), outputs.predictions)"},
            TASK + "a loss of shape (2,) and type torch.float32, not one number.",
        ),
        ({"FORWARD": "return Outputs(0.5, outputs.predictions)"}, TASK + "a float as its loss"),
        (
            {"FORWARD": "return Outputs(None) if self.training else outputs"},
            TASK + "no loss in training.",
        ),
        (
            {"FORWARD": "return Outputs(outputs.loss.detach()) if self.training else outputs"},
            TASK + "a loss that does not depend on what is trained.",
        ),
        ({"DECODE": "[:1]"}, TASK + "1 records from `decode` for 2 samples."),
        ({"DECODE": "[0]"}, TASK + "a dict from `decode`, not a list of dictionaries."),
        (
            {"DECODE": "and [{'sure': torch.ones(())}] * 2"},
            TASK + "a record from `decode` whose 'sure' is not JSON: Object of type Tensor is not",
        ),
        ({"COMPUTE": "0.5"}, METRIC + "a float from `compute`, not a dictionary of numbers."),
        ({"COMPUTE": "{'': torch.tensor(0.5)}"}, METRIC + "a Tensor as '', not a number"),
        ({"SCORES": "torch.ones(())"}, METRIC + "scores of shape (), not (B,)."),
        ({"SCORES": "torch.ones(2, 3)"}, METRIC + "scores of shape (2, 3), not (B,)."),
        ({"SCORES": "['a', 'b']"}, METRIC + "scores of type list, not numbers (B,)."),
        ({"ENCODE": "Features(found.pooled[:, :9])"}, NET + "pooled features of shape (2, 9), not"),
        ({"ENCODE": "Features(found.pooled[:1])"}, NET + "pooled features of shape (1, 36), not"),
        ({"ENCODE": "found.pooled"}, NET + "a Tensor from `encode`, not Features."),
        (
            {"PREPARE": "(found,)"},
            "The backbone 'acme/faulty-net' of mmft-acme 1.0 has a processor that returned a tuple "
            "from `prepare`, not a dictionary of tensors.",
        ),
        ({"SAMPLE": "(sample,)"}, DATA + "a tuple as sample 0 of 'train', not a Sample."),
        (
            {"SAMPLE": "replace(sample, inputs={'gird': 1})"},
            DATA + "'gird' as inputs of sample 0 of 'train', without 'grid'.",
        ),
        (
            {"SAMPLE": "replace(sample, inputs=7)"},
            DATA + "an int as inputs of sample 0 of 'train', not a dictionary.",
        ),
        (
            {"SAMPLE": "replace(sample, id=index)"},
            DATA + "an int as id of sample 0 of 'train', not a string.",
        ),
        (
            {"SAMPLE": "replace(sample, inputs=sample.inputs if index else {'grid': None})"},
            "error: val[0]: it has no input of grid.",
        ),
        (
            {"SAMPLE": "replace(sample, target=None) if index % 9 == 5 else sample"},
            "13 of 112 samples cannot be used: train[5]: it has no target train[14]: it has no",
        ),
        (
            {"ORIGIN": "(index,)"},
            DATA + "a tuple as origin of sample 0 of 'train', not an Origin.",
        ),
        ({"RANKS": "list(found)"}, TASK + "a list from `rank`, not a dictionary of tensors."),
        (
            {"SPLITS": "list(splits.values())"},
            "The dataset 'acme/faulty-grids' of mmft-acme 1.0 has no `splits` that is a Mapping.",
        ),
        (
            {"SPLITS": "{name: list(split) for name, split in splits.items()}"},
            "The dataset 'acme/faulty-grids' of mmft-acme 1.0 built a list as split 'train', not",
        ),
        (
            {"SIZES": "[1.0]"},
            "The split acme_work.FaultyGrids returned 1 values from `sizes` for 64 samples.",
        ),
        (
            {"GROUPS": "['a']", "--folds": "2"},
            "The split acme_work.FaultyGrids returned 1 values from `groups` for 64 samples.",
        ),
        (
            {"ADVICE": "{'engine.lrr': 1.0}"},
            "There is no option 'engine.lrr'. Did you mean 'lr'?" + ADVISED,
        ),
        (
            {"ADVICE": "{'engin.lr': 1.0}"},
            "'engin' is not a setting of a part. Did you mean 'engine'?" + ADVISED,
        ),
        (
            {"ADVICE": "{'task.width': 0}", "OPTIONS": "'acme_work:Bounded'"},
            "task.width = 0 is not valid for task 'faulty': expected int >= 1." + ADVISED,
        ),
        (
            {"ADVICE": "{'task.widht': 8}", "OPTIONS": "'acme_work:Bounded'"},
            "Task 'faulty' has no option 'task.widht'. Did you mean 'width'?" + ADVISED,
        ),
        (
            {"SCRATCH": "{'task.width': 8}", "OPTIONS": "'acme_work:Bounded'"},
            "'task' is not a setting of training." + ADVISED,
        ),
        ({"METRIC": "'faulty-hit'"}, "lists what is available." + ADVISED),
        (
            {"MONITOR": "'faulty-hit'"},
            "not one of the run's metrics. Did you mean 'faulty-hits'?" + ADVISED,
        ),
        (
            {"MONITOR": "'faulty-hits/all'"},
            "not among the metrics of this run. Did you mean 'faulty-hits'?" + ADVISED,
        ),
        (
            {"OPTIONS": "'acme_work:Required'"},
            OPTIONS + "the option width of Required has no default.",
        ),
        (
            {"OPTIONS": "'acme_work:OutOfBounds'"},
            OPTIONS + "the default of OutOfBounds.width, 0, does not fit its annotation: Expected "
            "int >= 1.",
        ),
        (
            {"OPTIONS": "'acme_work:Unlisted'"},
            OPTIONS + "the default of Unlisted.loss, 'huber', does not fit its annotation: Invalid "
            "enum value 'huber'.",
        ),
        (
            {"OPTIONS": "'acme_work:Unresolved'"},
            OPTIONS + "an annotation of Unresolved cannot be resolved: name 'nosuchtype' is not "
            "defined.",
        ),
    ],
)
def test_it_is_told(
    fault: dict[str, str], words: str, site: Site, mmft: Mmft, tmp_path: Path
) -> None:
    ended = run_with(fault, site, mmft, "-o", tmp_path / "run")
    told = " ".join(ended.err.split())
    assert ended.code == 2 and words in told and "Traceback" not in told, ended.err
    assert not (tmp_path / "run" / "results.json").exists()


def test_empty_splits_are_left_out(site: Site, mmft: Mmft, tmp_path: Path) -> None:
    splits = {"SPLITS": "splits | {'val': FaultyGrids('val', 0, 'spots')}"}
    ended = run_with(splits, site, mmft, "-o", tmp_path / "run")
    assert ended.code == 0, ended.err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["metrics"].keys() == {"test"}


def test_a_backbone_without_parameters_can_be_shown(site: Site, mmft: Mmft) -> None:
    ended = run_with({"INIT": "self.mix = torch.nn.Identity()"}, site, mmft, "--dry-run")
    assert ended.code == 0 and "grid backbone: 0 parameters" in ended.out, ended.err


def test_a_dry_run_tells_of_a_backbone_that_looks_at_its_weights(site: Site, mmft: Mmft) -> None:
    ended = run_with({"INIT": "float(self.mix.weight.sum())"}, site, mmft, "--dry-run")
    assert ended.code == 2 and "cannot be built on torch's meta device" in ended.err, ended.err


def run_with(fault: dict[str, str], site: Site, mmft: Mmft, *more: str | Path) -> Finished:
    """A run of components with a fault."""
    sound = {
        "FORWARD": "",
        "DECODE": "",
        "SCORES": "torch.ones(len(targets))",
        "COMPUTE": "super().compute()",
        "PREPARE": "found",
        "ENCODE": "found",
        "OPTIONS": "None",
        "ADVICE": "{}",
        "SCRATCH": "{}",
        "INIT": "",
        "METRIC": "'faulty-hits'",
        "MONITOR": "'loss'",
        "SAMPLE": "sample",
        "SPLITS": "splits",
        "SIZES": "None",
        "ORIGIN": "None",
        "RANKS": "found",
        "GROUPS": "None",
    }
    hooks, work = HOOKS, WORK
    for place, code in (sound | fault).items():
        hooks, work = (text.replace(place, code) for text in (hooks, work))
    site.install("mmft-acme", {"acme": "acme"}, acme=hooks, acme_work=work)
    flags = [f"{name}={value}" for name, value in fault.items() if name.startswith("--")]
    settings = ("--set=engine.steps=2", "--set=engine.workers=0", "--weights=none", *flags)
    return mmft("run", "--task=faulty", "--backbone=faulty-net", *settings, *more)
