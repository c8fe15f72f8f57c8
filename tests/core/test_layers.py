"""What is given later wins, however either of the two is written."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from mmft_core import discover
from mmft_core.config.layers import combine, means
from mmft_core.errors import UnknownComponentError

REGISTRY = discover()
RESOLVED = {
    "task": {"name": "vision/image-cls", "mixup": 0.0},
    "backbone": {
        "image": {"name": "vision/resnet50", "weights": "auto", "image_size": 224, "flip": True}
    },
    "dataset": {"name": "vision/image-folder", "path": "/old", "val": 0.2},
    "engine": {"lr": 0.1, "epochs": 3},
}
"""As a finished run's config.toml has it."""


def over(*layers: dict, below: dict = RESOLVED) -> dict:
    return combine([below, *layers], REGISTRY)


@pytest.mark.parametrize(
    "given",
    [
        {"backbone": "resnet18"},
        {"backbone": {"name": "resnet18"}},
        {"backbone": {"image": "resnet18"}},
        {"backbone": {"image": {"name": "resnet18"}}},
    ],
)
@pytest.mark.parametrize("below", [RESOLVED, {"backbone": "vit-b-16"}, {}])
def test_a_backbone_is_replaced_however_it_is_named(given: dict, below: dict) -> None:
    assert over(given, below=below)["backbone"]["image"]["name"] == "resnet18"


def test_the_other_options_of_the_backbone_stay() -> None:
    changed = over({"backbone": "resnet18"})["backbone"]["image"]
    assert changed == RESOLVED["backbone"]["image"] | {"name": "resnet18"}


@pytest.mark.parametrize("key, value", [("weights", "none"), ("image_size", 64)])
def test_what_is_said_for_all_backbones_goes_over_what_one_had(key: str, value: object) -> None:
    table = over({"backbone": {key: value}})["backbone"]
    assert table[key] == value and key not in table["image"]
    assert table["image"]["flip"] is True


def test_and_what_is_then_said_for_one_goes_over_that() -> None:
    later = {"backbone": {"image": {"image_size": 96}}}
    table = over({"backbone": {"image_size": 64}}, later)["backbone"]
    assert table["image"]["image_size"] == 96


def test_a_data_set_by_path_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    table = over({"dataset": {"name": str(tmp_path)}})["dataset"]
    assert table == {"path": str(tmp_path), "val": 0.2}


def test_a_data_set_by_name_takes_the_place_of_a_path() -> None:
    assert over({"dataset": "digits"})["dataset"] == {"name": "digits", "val": 0.2}


def test_a_path_alone_is_for_the_data_set_that_was_chosen() -> None:
    table = over({"dataset": {"path": "/new"}})["dataset"]
    assert table == {"name": "vision/image-folder", "path": "/new", "val": 0.2}


def test_a_setting_of_the_data_set_keeps_the_choice() -> None:
    assert over({"dataset": {"val": 0.1}})["dataset"] == RESOLVED["dataset"] | {"val": 0.1}


def test_a_task_named_anew_keeps_its_settings() -> None:
    assert over({"task": "image-cls"})["task"] == {"name": "image-cls", "mixup": 0.0}


def test_layers_are_left_as_they_were_and_combining_twice_changes_nothing() -> None:
    before, layer = copy.deepcopy(RESOLVED), {"backbone": {"name": "resnet18", "weights": "none"}}
    once = over(layer)
    assert before == RESOLVED
    assert layer == {"backbone": {"name": "resnet18", "weights": "none"}}
    assert combine([once], REGISTRY) == once


def test_an_unknown_backbone() -> None:
    with pytest.raises(UnknownComponentError, match="mean 'resnet18'"):
        over({"backbone": "resnet81"})


@pytest.mark.parametrize("wrong", [3, ["x"], True])
def test_what_is_no_table_is_left_for_whoever_reads_it(wrong: object) -> None:
    assert over({"backbone": wrong, "dataset": wrong}) | {"task": 0, "engine": 0} == {
        "backbone": wrong,
        "dataset": wrong,
        "task": 0,
        "engine": 0,
    }


def test_flags_go_over_the_file_on_the_command_line(mmft, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "run.toml").write_text(
        '[task]\nname = "vision/image-cls"\n'
        '[backbone.image]\nname = "vision/resnet50"\nweights = "auto"\nimage_size = 224\n'
        '[dataset]\nname = "vision/digits"\n'
    )
    flags = ("--backbone", "mobilenet-v3-large", "--weights", "none", "--dry-run")
    more = ("--dataset", tmp_path / "photos", "--set", "backbone.image_size=64")
    finished = mmft("run", "-c", tmp_path / "run.toml", *flags, *more)
    assert finished.code == 0, finished.err
    shown = finished.out
    assert 'name = "vision/mobilenet-v3-large"' in shown and "resnet50" not in shown
    assert 'weights = "none"' in shown and "image_size = 64" in shown
    assert 'name = "vision/image-folder"' in shown and f'path = "{tmp_path / "photos"}"' in shown


def test_a_key_means_what_it_names() -> None:
    assert means("engine.lr", "engine.lr") and not means("engine.lr", "engine.epochs")
    assert means("backbone.weights", "backbone.image.weights")
    assert means("callback.diary.file", "callback.acme/diary.file")
    assert means("metric.f1.average", "metric.classification/f1.average")
    assert not means("callback.diary.file", "callback.acme/other.file")


def test_signs_change_the_callbacks_below() -> None:
    assert over({"callbacks": ["+tensorboard"]})["callbacks"] == ["report/report", "tensorboard"]
    changed = over({"callbacks": ["tensorboard"]}, {"callbacks": ["+report", "-tensorboard"]})
    assert changed["callbacks"] == ["report"]
    old = over({"tracking": {"to": ["mlflow"], "wandb": {"mode": "offline"}}}, {"callbacks": []})
    assert old["callbacks"] == ["mlflow"] and "tracking" not in old and "callback" not in old
