"""`mmft merge`, and adapters of one base that are served side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.chat.test_runs import ASKED, COLOURS, arguments, chats, weights  # noqa: F401
from tests.conftest import Finished

Mmft = Callable[..., Finished]
FEW = ("--set", "engine.steps=24", "--set", "engine.eval_every=24")
KEPT = ("--tune", "lora", "--set", "engine.lora.save=adapter", "--set", "engine.lora.rank=4")


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, chats: Path, weights: Path  # noqa: F811
) -> tuple[Path, Path]:
    """Two runs with adapters on the same weights."""
    from mmft_core.cli import main

    folder = tmp_path_factory.mktemp("runs")
    for seed in ("1", "2"):
        more = ("--set", f"engine.seed={seed}", *KEPT, *FEW)
        main([str(a) for a in arguments(chats, weights, folder / seed, *more)])
    return folder / "1", folder / "2"


def merged(mmft: Mmft, output: Path, *given: str | Path) -> dict[str, torch.Tensor]:
    ended = mmft("merge", *given, "-o", output, "--json")
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out)["scores"]
    assert list(scores) == ["1", "2", "merged"] and scores["merged"]["loss"] > 0
    return load_file(output / "model" / "model.safetensors")


def test_adapters_are_merged(runs: tuple[Path, Path], tmp_path: Path, mmft: Mmft) -> None:
    """Linear weights are those of the sum; a run of its own is what comes of it."""
    alone = merged(mmft, tmp_path / "alone", *runs, "--weight", "1", "--weight", "0")
    other = merged(mmft, tmp_path / "other", *runs, "--weight", "0", "--weight", "1")
    both = merged(mmft, tmp_path / "both", *runs)
    assert both.keys() == alone.keys()
    for name, tensor in both.items():
        torch.testing.assert_close(tensor, (alone[name] + other[name]) / 2, atol=1e-6, rtol=1e-5)
    name = next(n for n in both if "q_proj" in n)
    assert not torch.equal(alone[name], other[name])
    judged = mmft("eval", tmp_path / "alone", "--json")
    first = mmft("eval", runs[0], "--json")
    assert json.loads(judged.out)["loss"] == pytest.approx(json.loads(first.out)["loss"], rel=1e-4)
    ties = merged(mmft, tmp_path / "ties", *runs, "--method", "ties", "--density", "1")
    assert not torch.equal(ties[name], both[name])
    ended = mmft("predict", tmp_path / "both", "What colour is snow?")
    assert ended.code == 0 and "answer" in ended.out


def test_what_has_no_base_in_common_is_refused(
    runs: tuple[Path, Path], tmp_path: Path, mmft: Mmft
) -> None:
    ended = mmft("merge", runs[0], "-o", tmp_path / "out")
    assert ended.code == 2 and "nothing to merge it with" in ended.err
    ended = mmft("merge", *runs, "-o", tmp_path / "out", "--weight", "1")
    assert ended.code == 2 and "2 runs and 1 weights" in ended.err
    ended = mmft("merge", *runs, "-o", runs[0])
    assert ended.code == 2 and "is not empty" in ended.err
