"""`mmft merge`, and adapters of one base that are served side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM

from mmft import Run
from mmft_core import discover
from mmft_core.inference import load_beside, make_predictor, opening
from mmft_core.run import artifacts
from mmft_serve.app import create_app
from mmft_serve.openai import Models
from mmft_serve.settings import ServeSettings
from tests.chat.test_runs import ASKED, COLOURS, arguments, chats, weights  # noqa: F401
from tests.conftest import Finished

Mmft = Callable[..., Finished]
FEW = ("--set", "engine.steps=24", "--set", "engine.eval_every=24")
KEPT = ("--tune", "lora", "--set", "engine.lora.save=adapter", "--set", "engine.lora.rank=4")


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    chats: Path,  # noqa: F811
    weights: Path,  # noqa: F811
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


def test_weights_are_merged(runs: tuple[Path, Path], tmp_path: Path, mmft: Mmft) -> None:
    """Linear weights are those of the sum; a run of its own is what comes of it."""
    whole = (*runs, "--whole")
    alone = merged(mmft, tmp_path / "alone", *whole, "--weight", "1", "--weight", "0")
    other = merged(mmft, tmp_path / "other", *whole, "--weight", "0", "--weight", "1")
    both = merged(mmft, tmp_path / "both", *whole)
    assert both.keys() == alone.keys()
    for name, tensor in both.items():
        torch.testing.assert_close(tensor, (alone[name] + other[name]) / 2, atol=1e-6, rtol=1e-5)
    name = next(n for n in both if "q_proj" in n)
    assert not torch.equal(alone[name], other[name])
    judged = mmft("eval", tmp_path / "alone", "--json")
    first = mmft("eval", runs[0], "--json")
    assert json.loads(judged.out)["loss"] == pytest.approx(json.loads(first.out)["loss"], rel=1e-4)
    for method in ("ties", "dare", "dare-ties"):
        found = merged(mmft, tmp_path / method, *whole, "--method", method, "--density", "0.5")
        assert not torch.equal(found[name], both[name])
    ended = mmft("predict", tmp_path / "both", "What colour is snow?")
    assert ended.code == 0 and "answer" in ended.out


@pytest.mark.parametrize("method", ["linear", "ties", "dare"])
def test_adapters_are_merged(
    runs: tuple[Path, Path],
    weights: Path,  # noqa: F811
    tmp_path: Path,
    mmft: Mmft,
    method: str,
) -> None:
    """Into an adapter that PEFT reads; the linear one is what merging whole weights gives."""
    output = tmp_path / "both"
    given = (*runs, "--weight", "0.3", "--weight", "0.7", "--method", method, "--density", "1")
    ended = mmft("merge", *given, "-o", output)
    assert ended.code == 0 and str(output / "model" / "adapter") in ended.out, ended.err
    folder = output / "model" / "adapter" / "chat"
    base = AutoModelForCausalLM.from_pretrained(weights)
    network = PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
    states = [artifacts.load(run, discover()).task.state_dict() for run in (*runs, output)]
    start = AutoModelForCausalLM.from_pretrained(weights).state_dict()
    for name, tensor in start.items():
        one, two, own = (state[f"backbones.chat.network.{name}"] for state in states)
        torch.testing.assert_close(own, network[name], atol=1e-6, rtol=1e-5)
        if method != "ties":  # With density 1 DARE drops nothing.
            summed = tensor + 0.3 * (one - tensor) + 0.7 * (two - tensor)
            torch.testing.assert_close(own, summed, atol=1e-6, rtol=1e-5)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 8
    model, choose = load_beside(runs[0], {"both": output}, discover(), {})
    choose["both"]()
    ready = model.task.prepare_chat([{"role": "user", "content": "What colour is snow?"}])
    said = model.task.answer_chat(ready).text
    alone = artifacts.load(output, discover()).task
    assert alone.answer_chat(ready).text == said


@pytest.mark.parametrize("bits", [4, 8])
def test_adapters_on_quantized_weights_are_merged(
    chats: Path,  # noqa: F811
    weights: Path,  # noqa: F811
    tmp_path: Path,
    mmft: Mmft,
    monkeypatch: pytest.MonkeyPatch,
    bits: int,
) -> None:
    """By their differences alone, for the weights below them cannot be added. Runs ask for a GPU,
    which bitsandbytes itself does not."""
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr("mmft_chat.building.check_bits", lambda *_: None)
    settings = ("--set", f"backbone.load_bits={bits}", "--set", "engine.steps=4", *KEPT)
    for seed in ("1", "2"):
        more = ("--set", f"engine.seed={seed}", "--set", "engine.eval_every=4", *settings)
        ended = mmft(*arguments(chats, weights, tmp_path / seed, *more))
        assert ended.code == 0, ended.err
    runs = (tmp_path / "1", tmp_path / "2")
    given = (*runs, "--weight", "0.3", "--weight", "0.7", "-o", tmp_path / "both")
    ended = mmft("merge", *given)
    assert ended.code == 0, ended.err
    one, two, both = (_adapted(run) for run in (*runs, tmp_path / "both"))
    assert both.keys() == one.keys() and len(both) > 4
    for name, (weight, change) in both.items():
        assert torch.equal(weight, one[name][0]) and not weight.is_floating_point()
        expected = 0.3 * one[name][1] + 0.7 * two[name][1]
        least = 0.01 * float(expected.detach().abs().max())  # Those on 4 bits are kept in bf16.
        torch.testing.assert_close(change, expected, atol=least, rtol=0)
        assert not torch.equal(one[name][1], two[name][1])
    ended = mmft("predict", tmp_path / "both", "What colour is snow?")
    assert ended.code == 0 and "answer" in ended.out, ended.err


def _adapted(run: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The weights of the layers that have adapters, and by how much these change them."""
    backbone = artifacts.load(run, discover()).task.backbone("chat")
    assert backbone.quantized
    return {
        name: (module.base_layer.weight.data, module.get_delta_weight("default"))
        for name, module in backbone.named_modules()
        if isinstance(module, LoraLayer)
    }


def test_what_has_no_base_in_common_is_refused(
    runs: tuple[Path, Path], tmp_path: Path, mmft: Mmft
) -> None:
    ended = mmft("merge", runs[0], "-o", tmp_path / "out")
    assert ended.code == 2 and "only one run to merge" in ended.err
    ended = mmft("merge", *runs, "-o", tmp_path / "out", "--weight", "1")
    assert ended.code == 2 and "2 runs and 1 weights" in ended.err
    ended = mmft("merge", *runs, "-o", runs[0])
    assert ended.code == 2 and "is not empty" in ended.err


def test_adapters_are_served_side_by_side(runs: tuple[Path, Path], weights: Path) -> None:  # noqa: F811
    """Each answers as its run does alone, whichever was asked before."""
    asked = [{"role": "user", "content": ASKED[0].format(thing)} for thing in COLOURS]

    def answers(task: Any) -> list[str]:
        ready = [task.prepare_chat([one]) for one in asked]
        return [task.answer_chat(one, temperature=2.0, seed=1).text for one in ready]

    alone = [answers(opening.load(run, discover()).task) for run in runs]
    assert alone[0] != alone[1]
    model, choose = load_beside(runs[0], {"second.one": runs[1]}, discover(), {})
    for _ in range(2):
        for name, wanted in zip(("second.one", ""), alone[::-1], strict=True):
            choose[name]()
            assert answers(model.task) == wanted
    models = Models({name or "first": function for name, function in choose.items()})
    predictor = make_predictor(model, {}, 4)
    app = create_app("first", predictor, ServeSettings(), models=models)
    given = {"temperature": 2.0, "seed": 1}
    with TestClient(app) as client:
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == list(models.names)
        for name, wanted in zip(("second.one", "first"), alone[::-1], strict=True):
            body = {**given, "model": name, "messages": asked[:1]}
            answer = client.post("/v1/chat/completions", json=body).json()
            assert answer["choices"][0]["message"]["content"] == wanted[0]
        plain = client.post("/predict", json={"chat": asked[0]["content"]}).json()
    assert plain["prediction"]["answer"] == Run(runs[0]).predict(asked[0]["content"])[0]["answer"]


def test_adapters_of_something_else_are_refused(
    runs: tuple[Path, Path], tmp_path: Path, mmft: Mmft
) -> None:
    ended = mmft("serve", runs[0], "--adapter", "second")
    assert ended.code == 2 and "--adapter second is not NAME=RUN" in ended.err
    ended = mmft("serve", runs[0], "--adapter", f"1={runs[1]}")
    assert ended.code == 2 and "--adapter 1 has the name of the run itself" in ended.err
    merged(mmft, tmp_path / "both", *runs, "--whole")
    ended = mmft("serve", runs[0], "--adapter", f"both={tmp_path / 'both'}")
    assert ended.code == 2 and "no adapters that are stored without" in " ".join(ended.err.split())
    other = tmp_path / "other"
    shutil.copytree(runs[1], other)
    file = other / "model" / "model.json"
    content = json.loads(file.read_text())
    content["backbones"]["chat"]["loaded"]["digest"] = "0"
    file.write_text(json.dumps(content))
    ended = mmft("serve", runs[0], "--adapter", f"other={other}")
    assert ended.code == 2 and "other base weights" in " ".join(ended.err.split())
