"""What --vary may say, and that it fits the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core.errors import ConfigError
from mmft_sweep.space import Choice, Range, parse_space, space_of
from tests.conftest import Finished

Mmft = Callable[..., Finished]

TASK = ("--task", "image-cls", "--backbone", "resnet18", "--weights", "none")


def only(text: str) -> Range | Choice:
    (dimension,) = parse_space([text]).dimensions
    return dimension


def test_ranges() -> None:
    lr = only("engine.lr=1e-5..1e-2:log")
    assert isinstance(lr, Range)
    assert (lr.key, lr.low, lr.high, lr.log, lr.whole) == ("engine.lr", 1e-5, 1e-2, True, False)
    assert lr.size == math.inf
    epochs = only("engine.epochs = 5 .. 22 : 5")
    assert isinstance(epochs, Range)
    assert (epochs.low, epochs.high, epochs.step, epochs.whole) == (5, 20, 5, True)
    assert epochs.size == 4
    decay = only("engine.weight_decay=0..0.3:0.1")
    assert isinstance(decay, Range)
    assert (decay.high, decay.whole, decay.size) == (0.3, False, 4)
    assert only("a.b=-3..-1").extremes == (-3, -1)


def test_two_whole_numbers_are_a_range_of_what_the_setting_is() -> None:
    whole = only("engine.weight_decay=0..1")
    assert isinstance(whole, Range) and whole.whole
    typed = whole.typed_as(0.05)
    assert isinstance(typed, Range) and not typed.whole and typed.size == math.inf
    assert whole.typed_as(32) is whole


def test_choices() -> None:
    sizes = only("engine.batch_size=16,32,64")
    assert isinstance(sizes, Choice) and sizes.values == (16, 32, 64)
    mixed = only("engine.ema=none,0.99")
    assert isinstance(mixed, Choice) and mixed.values == ("none", 0.99)
    paths = only("backbone.weights=../a,../b")
    assert isinstance(paths, Choice) and paths.values == ("../a", "../b")
    flags = only("backbone.flip=true,false")
    assert isinstance(flags, Choice) and flags.values == (True, False)


def test_a_space_is_told_of_and_read_again() -> None:
    space = parse_space(["engine.epochs=1..3", "engine.batch_size=16,32"])
    assert space.size == 6
    assert space_of(space.texts()) == space


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("engine.lr", "is not KEY=RANGE"),
        ("engine.lr=", "is not KEY=RANGE"),
        ("engine..lr=1,2", "is not KEY=RANGE"),
        ("engine.lr=1e-3", "leaves nothing to vary"),
        ("engine.lr=2..1", "it is empty, because 2 is not below 1"),
        ("engine.lr=1..1", "it is empty"),
        ("engine.lr=slow..fast", "'slow' is not a number"),
        ("engine.lr=1..", "'' is not a number"),
        ("engine.lr=1..inf", "'inf' is not finite"),
        ("engine.lr=0..1:log", "has to begin above 0"),
        ("engine.lr=0..1:2", "a step of 2 does not fit"),
        ("engine.lr=0..1:-0.1", "a step of -0.1 does not fit"),
        ("engine.lr=0..1:", "'' is not a number"),
        ("engine.batch_size=16,,32", "a value is missing"),
        ("engine.batch_size=16,32,16", "16 is given twice"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_space([text])


def test_nothing_and_the_same_twice() -> None:
    with pytest.raises(ConfigError, match="Nothing varies"):
        parse_space([])
    with pytest.raises(ConfigError, match=r"engine\.lr is varied twice"):
        parse_space(["engine.lr=1..2", "engine.lr=3..4"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vary", "engine.lrr=1..2"), "no option 'engine.lrr'. Did you mean 'lr'?"),
        (("--vary", "enigne.lr=1..2"), "no setting 'enigne'. Did you mean 'engine'?"),
        (("--vary", "engine.batch_size=0.1..0.5"), "engine.batch_size = 0.1 is not valid"),
        (("--vary", "engine.lr=-1..1"), "engine.lr = -1 is not valid"),
        (
            ("--vary", "engine.schedule=cosine,linaer"),
            "no schedule named 'linaer'. Did you mean 'linear'?",
        ),
        (("--vary", "backbone.augmnt=none,light"), "Did you mean 'augment'?"),
        (("--vary", "engine.lr=1e-4..1e-3", "--lr", "1e-3"), "engine.lr is both set and varied"),
        (("--vary", "backbone=resnet18,resnet34"), "backbone is both set and varied"),
        (("--vary", "task=image-cls,image-retrieval"), "task cannot vary"),
        (("--vary", "dataset.name=digits,mnist"), "dataset.name cannot vary"),
        (("--vary", "engine.monitor=loss,accuracy"), "engine.monitor cannot vary"),
        (("--vary", "engine.lora.rank=4,8"), "engine.lora.rank is set, but engine.tune = 'full'"),
        (("--vary", "engine.lr=1..2", "--folds", "1"), "folds = 1 is not valid"),
        (("--vary", "engine.lr=1..2", "--set", "dataset.val=0"), "has no val split"),
        (("--vary", "engine.lr=1..2", "--dataset", "./nowhere"), "no file or folder nowhere"),
        (("--vary", "engine.lr=1..2", "--resume", "nowhere"), "nowhere holds no sweep"),
        (("--vary", "engine.lr=1..2", "--pruner", "medain"), "medain"),
        ((), "Nothing varies"),
    ],
)
def test_what_does_not_fit_ends_before_anything_is_written(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mmft("sweep", *TASK, *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_every_backbone_is_tried_with_every_end_of_a_range(tmp_path: Path, mmft: Mmft) -> None:
    ended = mmft(
        *("sweep", "--task", "image-cls", "--vary", "backbone=resnet18,resnet51"),
        *("--vary", "engine.lr=1e-4..1e-3", "-o", tmp_path / "sweep"),
    )
    assert ended.code == 2 and "no backbone named 'resnet51'" in ended.err
    assert not (tmp_path / "sweep").exists()
