"""Exports for LiteRT: what they predict, and which networks they are refused for.

Its converter is large (`pip install 'mmft[litert]'`) and no part of `mmft[test]`, so CI skips what
converts. That the extra is named where it is missing is tested in test_refusals.py.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mmft_core import discover
from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Graph, Tensors
from mmft_core.contracts.callbacks import Callback
from mmft_core.errors import ExportError
from mmft_core.inference import opening
from mmft_core.inference.predictor import Predictor
from mmft_export.comparison import leaves
from mmft_export.exporting import export
from mmft_export.litert_format import LiteRT
from mmft_export.request import ExportRequest
from mmft_export.tracing import Traced, trace
from tests.conftest import Finished
from tests.export.runs import RUNS
from tests.export.test_tasks import predicted, same, samples
from tests.serve.test_exports import agree
from tests.serve.tools import lines, serving

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("tiny_backbone")
installed = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="mmft[litert] is not installed"
)

CONVERTED = (
    "image-cls",
    "image-retrieval",
    "text-cls",
    "text-retrieval",
    "fusion-cls",
    "fusion-reg",
    "contrastive",
)
ANY_SIZE = "whose graphs are of fixed sizes"
REFUSED: Mapping[str, str] = {
    "summarization": ANY_SIZE,
    "summarization/t5": ANY_SIZE,
    "language-modeling": ANY_SIZE,
    "captioning": ANY_SIZE,
    "asr": ANY_SIZE,
    "asr/whisper": ANY_SIZE,
    "audio-cls": ANY_SIZE,
}


def test_every_task_is_converted_or_refused() -> None:
    assert {*CONVERTED, *REFUSED} == set(RUNS)


class _Sums(nn.Module):
    def forward(self, inputs: Tensors) -> Tensors:
        return {"sums": inputs["text.tokens"].sum(1)}


def sums(longest: Mapping[str, int]) -> Traced:
    """A graph of rows of any length, the greatest of which is known or not."""
    traced = trace(
        Graph(
            name="model",
            module=_Sums(),
            inputs={"text.tokens": torch.ones(3, 5, dtype=torch.int64)},
            axes={"text.tokens": {0: "batch", 1: "text.length"}},
        )
    )
    return replace(traced, longest=longest)


def test_graphs_tell_that_they_take_one_sample_of_fixed_size() -> None:
    told = LiteRT().info(sums({"text.length": 24}))
    assert told.file == "model.tflite"
    assert [(i.name, i.dtype, i.shape) for i in told.inputs] == [("text.tokens", "int32", (1, 24))]
    assert [(o.dtype, o.shape) for o in told.outputs] == [("int32", (1,))]


def test_sizes_without_an_end_are_refused() -> None:
    with pytest.raises(
        ExportError, match="dimension text.length of 'text.tokens' has no upper limit"
    ):
        LiteRT().info(sums({}))


class _Layers(nn.Module):
    """Convolutions that differ in nothing but their weights, laid out as image networks' are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6)))
        self.layers = layers.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensors) -> Tensors:
        return {"found": self.layers(inputs["image.pixels"]).mean((2, 3))}


@installed
def test_layers_keep_their_own_weights_and_the_run_s_are_left_alone(tmp_path: Path) -> None:
    module, file = _Layers(), tmp_path / "model.tflite"
    weights = [p for p in module.parameters() if p.ndim == 4]
    inputs = {"image.pixels": torch.randn(3, 4, 8, 8)}
    axes = {"image.pixels": {0: "batch"}}
    traced = trace(Graph(name="model", module=module, inputs=inputs, axes=axes))
    LiteRT().write(traced, file)
    runner = LiteRT().run(file, LiteRT().info(traced))
    for rows in (3, 1, 0):
        given = {"image.pixels": inputs["image.pixels"][:rows]}
        assert torch.allclose(runner(given)["found"], module(given)["found"], atol=1e-5)
    assert not any(weight.is_contiguous() for weight in weights)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED)
def test_an_export_predicts_what_the_run_does(name: str, tmp_path: Path) -> None:
    """One sample, several, and shorter ones than the graph's."""
    run, registry = RUNS[name](tmp_path), discover()
    place, found = export(
        run, ExportRequest(kind="litert", samples=4, batch_size=2), registry, Callback()
    )
    assert found.samples and found.difference is not None and found.difference < 1e-4
    split = samples(run)
    there, here = (
        Predictor(opening.load(path, registry), EngineConfig(precision="fp32", device="cpu"))
        for path in (place, run)
    )
    for chosen in ([0], [1, 2, 3, 4, 5, 6, 7]):
        wanted, got = (leaves(predicted(p, split, chosen)) for p in (here, there))
        assert len(wanted) == len(got) > 0
        for one, other in zip(wanted, got, strict=True):
            same(one, other)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_cannot_be_converted(name: str, tmp_path: Path, mmft: Mmft) -> None:
    run = RUNS[name](tmp_path)
    found = mmft("export", run, "--format", "litert", "--samples", "4")
    assert found.code == 2 and REFUSED[name] in found.err and "--format onnx" in found.err
    assert "Traceback" not in found.err and not (run / "export").exists()


@installed
@pytest.mark.slow
def test_it_is_used_as_its_run(tmp_path: Path, mmft: Mmft) -> None:
    run = RUNS["text-cls"](tmp_path)
    text = "Open a file and read all of it, line by line."
    place = tmp_path / "export"
    made = mmft("export", run, "--format", "litert", "-o", place, "--samples", "4", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["difference"] < 1e-4
    wanted = lines(mmft("predict", run, text, "--top-k", "5").out)
    assert agree(lines(mmft("predict", place, text, "--top-k", "5").out), wanted)
    own, of_run = (json.loads(mmft("eval", p, "--json").out) for p in (place, run))
    assert own["samples"] == of_run["samples"] and own["accuracy"] == of_run["accuracy"]
    with serving(place) as served:
        answer = served.client.post("/predict", json={"text": text})
        assert agree(answer.json()["prediction"], wanted[0])
    file = place / "model.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    refused = mmft("predict", place, text)
    assert refused.code == 2 and "model.tflite is not what was written" in refused.err
