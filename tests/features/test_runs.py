"""Runs with frozen backbones: the same models with kept features as without, and much sooner."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmft_core.contracts import Sample
from mmft_vision.images import ImageFiles
from tests.conftest import Finished

Call = Callable[..., Finished]
HEAD = ("--weights", "none", "--tune", "head", "--epochs", 2)
PLAIN = ("--set", "backbone.augment=none", "--set", "backbone.image_size=32")
IMAGES = ("run", "--task", "image-cls", "--backbone", "resnet18", *HEAD, *PLAIN)

pytestmark = pytest.mark.usefixtures("narrow_pictures")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "mmft" / "features").glob("*/*.safetensors"))


def assert_same_model(one: Path, other: Path, tolerance: float = 0.0) -> None:
    mine, others = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    assert mine.keys() == others.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, others[name], rtol=tolerance, atol=tolerance)


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    return photo_folder(per_class=20)


def test_metrics_of_each_kind_are_there_with_kept_features(
    mmft: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ImageFiles.__getitem__

    def of_a_kind(split: ImageFiles, index: int) -> Sample:
        return replace(read(split, index), kind="odd" if index % 2 else "even")

    monkeypatch.setattr(ImageFiles, "__getitem__", of_a_kind)
    ended = mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "run")
    assert ended.code == 0 and files(tmp_path), ended.err
    kinds = json.loads((tmp_path / "run" / "results.json").read_text())["kinds"]
    assert kinds["val"].keys() == kinds["test"].keys() == {"even", "odd"}


def test_the_model_is_the_same_and_features_are_computed_once(
    mmft: Call, photos: Path, tmp_path: Path
) -> None:
    data = ("--dataset", photos, "--set", "engine.precision=fp32")
    never = mmft(*IMAGES, *data, "--set", "engine.cache_features=never", "-o", tmp_path / "never")
    assert never.code == 0 and not files(tmp_path)
    first = mmft(*IMAGES, *data, "-o", tmp_path / "first")
    assert "40 samples, 40 of them new" in " ".join((first.out + first.err).split())
    again = mmft(*IMAGES, *data, "-o", tmp_path / "again")
    assert "40 samples, 0 of them new" in " ".join((again.out + again.err).split())
    assert_same_model(tmp_path / "never", tmp_path / "first", 1e-5)
    assert_same_model(tmp_path / "first", tmp_path / "again")


def test_another_division_of_the_data_finds_its_features(
    mmft: Call, photos: Path, tmp_path: Path
) -> None:
    mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "once")
    again = mmft(
        *IMAGES, "--dataset", photos, "--set", "dataset.test=0.3", "-o", tmp_path / "again"
    )
    assert "0 of them new" in " ".join((again.out + again.err).split())


def test_a_changed_picture_is_computed_again(mmft: Call, photos: Path, tmp_path: Path) -> None:
    mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "once")
    changed = photos / "china" / "000.jpg"
    Image.fromarray(np.full((90, 90, 3), 7, np.uint8)).save(changed)
    again = mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "again")
    assert "40 samples, 1 of them new" in " ".join((again.out + again.err).split())


def test_other_weights_have_features_of_their_own(mmft: Call, photos: Path, tmp_path: Path) -> None:
    data = ("--dataset", photos)
    mmft(*IMAGES, *data, "-o", tmp_path / "once")
    again = mmft(*IMAGES, *data, "--set", "engine.seed=1", "-o", tmp_path / "again")
    assert "40 samples, 40 of them new" in " ".join((again.out + again.err).split())


def test_damaged_and_wrong_features_are_found_out(mmft: Call, photos: Path, tmp_path: Path) -> None:
    mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "once")
    (file,) = files(tmp_path)
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 2])
    again = mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "damaged")
    assert "40 samples, 40 of them new" in " ".join((again.out + again.err).split())
    for left in files(tmp_path):
        left.unlink()
    from safetensors.torch import save_file

    file.write_bytes(sound)
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file({**tensors, "pooled": tensors["pooled"] + 1}, file)
    again = mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "wrong")
    assert "40 samples, 40 of them new" in " ".join((again.out + again.err).split())
    assert_same_model(tmp_path / "once", tmp_path / "wrong")


def test_augmentation_is_told_of_and_refused_when_features_must_be_kept(
    mmft: Call, photos: Path, tmp_path: Path
) -> None:
    augmented = (*IMAGES, "--set", "backbone.augment=light", "--dataset", photos)
    told = mmft(*augmented, "-o", tmp_path / "told")
    assert told.code == 0 and not files(tmp_path)
    assert "backbone.augment" in told.out + told.err
    always = ("--set", "engine.cache_features=always")
    refused = mmft(*augmented, *always, "-o", tmp_path / "refused")
    assert refused.code == 2 and "backbone.augment" in refused.err
    assert not (tmp_path / "refused").exists()
    mixed = mmft(
        *IMAGES, "--dataset", photos, "--set", "task.mixup=0.2", *always, "-o", tmp_path / "mixed"
    )
    assert mixed.code == 2 and "task.mixup" in mixed.err
    full = mmft(*IMAGES, "--dataset", photos, "--tune", "full", *always, "-o", tmp_path / "full")
    assert full.code == 2 and "freezes no backbone" in " ".join(full.err.split())


def test_an_interrupted_run_goes_on_to_the_same_model(
    mmft: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "whole")
    from mmft_core.engine.loop import Engine

    original = Engine._next_batches

    def killed(self: Engine, stream: Any) -> Any:
        if self.state.progress.step == 1:
            raise KeyboardInterrupt
        return original(self, stream)

    monkeypatch.setattr(Engine, "_next_batches", killed)
    assert mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "cut").code != 0
    monkeypatch.setattr(Engine, "_next_batches", original)
    assert mmft("run", "--resume", tmp_path / "cut").code == 0
    assert_same_model(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_fusion_keeps_the_sequences_of_the_frozen_backbone_alone(
    mmft: Call, tmp_path: Path
) -> None:
    rows = [
        f"{'' if k % 5 == 0 else ('good ' if k % 2 else 'bad ') + 'word ' * (k % 7)},{k},{k % 2}"
        for k in range(60)
    ]
    table = tmp_path / "table.csv"
    table.write_text("text,number,label\n" + "\n".join(rows) + "\n")
    call = (
        "run", "--task", "fusion-cls", "--dataset", table, "--backbone", "text=minilm",
        "--backbone", "tabular=tabular-mlp", "--weights", "none", "--set",
        "backbone.text.size=tiny", "--set", "task.fusion=cross-attention", "--tune", "text=head",
        "--set", "dataset.columns.text=text", "--epochs", 2, "--set", "engine.precision=fp32",
    )  # fmt: skip
    kept = mmft(*call, "-o", tmp_path / "kept")
    assert kept.code == 0, kept.err
    assert "Features of the frozen text backbone" in kept.out + kept.err
    (file,) = files(tmp_path)
    assert {"pooled", "sequence", "ends"} <= load_file(file).keys()
    never = mmft(*call, "--set", "engine.cache_features=never", "-o", tmp_path / "never")
    assert never.code == 0, never.err
    assert_same_model(tmp_path / "kept", tmp_path / "never", 1e-4)


def test_features_are_kept_below_the_users_cache(mmft: Call, photos: Path, tmp_path: Path) -> None:
    mmft(*IMAGES, "--dataset", photos, "-o", tmp_path / "once")
    (file,) = files(tmp_path)
    identity = json.loads((file.parent / "identity.json").read_text())
    assert identity["backbone"] == "vision/resnet18"
    assert identity["keeps"] == ["pooled"]
    assert os.environ["XDG_CACHE_HOME"] in str(file)


@pytest.mark.slow
def test_an_index_of_the_same_pictures_finds_their_features(
    mmft: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmft_vision.backbones import TorchvisionBackbone

    call = ("run", "--task", "image-retrieval", "--backbone", "resnet18", *HEAD, *PLAIN)
    run = tmp_path / "run"
    ended = mmft(*call, "--dataset", photos, "--set", "task.dim=8", "-o", run)
    assert ended.code == 0, ended.err
    (photos / "china" / "broken.jpg").write_bytes(b"no picture")
    encode, seen = TorchvisionBackbone.encode, []

    def counted(self: Any, inputs: Any) -> Any:
        seen.append(len(inputs["pixels"]))
        return encode(self, inputs)

    monkeypatch.setattr(TorchvisionBackbone, "encode", counted)
    skip = ("--on-bad-sample", "skip")
    assert mmft("index", run, photos, "-o", tmp_path / "fed", *skip).code == 0
    assert sum(seen) <= 2  # To see whether what is kept is right.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert mmft("index", run, photos, "-o", tmp_path / "plain", *skip).code == 0
    assert sum(seen) >= 40
    query = photos / "flower" / "003.jpg"
    answers = [
        json.loads(mmft("search", run, query, "--index", tmp_path / name, "--format", "jsonl").out)
        for name in ("fed", "plain")
    ]
    hits = [{hit["id"]: hit["score"] for hit in answer["found"]} for answer in answers]
    assert hits[0] == pytest.approx(hits[1], abs=1e-3)
