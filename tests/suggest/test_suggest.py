"""`mmft suggest`: backbones compared on one's own data, and runs that find their features."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmft_core.errors import DataError
from mmft_suggest.probe import probe
from tests.conftest import Finished

Call = Callable[..., Finished]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_suggest")
def test_backbones_are_ranked_and_a_run_finds_their_features(
    mmft: Call, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(per_class=40)
    common = (
        "--task", "image-cls", "--dataset", photos, "--weights", "none", "--batch-size", 8,
        "--set", "backbone.image_size=32", "--set", "backbone.augment=none",
    )  # fmt: skip
    ended = mmft(
        "suggest", *common, "--backbone", "resnet18", "--backbone", "mobilenet-v3-large",
        "--json", tmp_path / "found.json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert {row["name"] for row in found} == {"resnet18", "mobilenet-v3-large"}
    scores = [row["score"]["mean"] for row in found]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.7 > found[0]["score"]["guess"]
    for row in found:
        assert row["rate"] > 0 and row["seconds"] > 0 and row["peak_bytes"] > 1e8
        assert row["weights"] == "random" and row["parameters"] > 1e6
        assert f"--backbone {row['name']}" in row["command"]
    assert found[0]["command"] in ended.out
    run = mmft(
        "run", *common, "--backbone", "resnet18", "--tune", "head", "--epochs", 1,
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert run.code == 0, run.err
    told = " ".join((run.out + run.err).split())
    new = re.search(r"80 samples, (\d+) of them new", told)
    assert new is not None and int(new[1]) < 30  # Val and test; the others were there.


def test_the_probe_tells_features_that_know_from_those_that_do_not() -> None:
    random = np.random.default_rng(0)
    labels = [("cat", "dog")[k % 2] for k in range(200)]
    noise = random.normal(size=(200, 8)).astype(np.float32)
    knowing = noise.copy()
    knowing[:, 0] += [4.0 * (label == "cat") for label in labels]
    good, bad = (probe(f, labels, "class", 0) for f in (knowing, noise))
    assert good is not None and bad is not None
    assert good.mean > 0.9 > 0.65 > bad.mean and good.guess == 0.5
    numbers = knowing[:, 0] * 3 + 1
    good, bad = (probe(f, numbers.tolist(), "number", 0) for f in (knowing, noise[:, 1:]))
    assert good is not None and bad is not None and good.mean > 0.99 > 0.3 > bad.mean
    assert probe(noise, ["a text"] * 200, "text", 0) is None


def test_what_only_tells_groups_apart_counts_for_nothing() -> None:
    """Ten visits of a patient have one label; features that know the patient know no other's."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 10)
    labels = [("ill", "well")[patient % 2] for patient in patients]
    features = np.eye(20, dtype=np.float32)[patients] + random.normal(size=(200, 20)) / 10
    groups = [f"patient {patient}" for patient in patients]
    torn = probe(features, labels, "class", 0)
    whole = probe(features, labels, "class", 0, groups)
    assert torn is not None and whole is not None and torn.mean > 0.9 > 0.65 > whole.mean
    numbers = random.normal(size=20)[patients]
    torn = probe(features, numbers.tolist(), "number", 0)
    whole = probe(features, numbers.tolist(), "number", 0, groups)
    assert torn is not None and whole is not None and torn.mean > 0.5 > 0.3 > whole.mean
    with pytest.raises(DataError, match="holds only one group"):
        probe(features, labels, "class", 0, ["patient"] * 200)
    with pytest.raises(DataError, match="groups of one class"):
        probe(features, labels, "class", 0, labels)


def test_too_few_of_each_class_are_refused() -> None:
    with pytest.raises(DataError, match="too few of each class"):
        probe(np.zeros((3, 2), np.float32), ["a", "b", "c"], "class", 0)


@pytest.mark.usefixtures("forked_suggest")
@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--task", "image-cls", "--backbone", "resnet81"), "no backbone named 'resnet81'"),
        (("--task", "image-cls", "--backbone", "minilm"), "minilm"),
        (("--task", "captioning"), "combines several backbones"),
        (("--task", "image-clss"), "no task named 'image-clss'"),
        (("--task", "image-cls", "--dataset", "nowhere"), "nowhere"),
        (("--task", "image-cls", "--weights", "resnet=x.pt"), "not among the backbones"),
        (("--task", "image-cls", "--backbone", "resnet18", "--weights", "no.pt"), "no.pt"),
    ],
)
def test_mistakes_end_in_one_sentence(mmft: Call, arguments: tuple[str, ...], said: str) -> None:
    ended = mmft("suggest", *arguments)
    assert ended.code == 2 and said in " ".join(ended.err.split()), ended.err
