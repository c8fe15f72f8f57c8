"""From a configuration tree to a plan: names, advice, options, paths."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core import (
    BackboneSpec,
    Component,
    DatasetSpec,
    MetricSpec,
    OptimizerSpec,
    Registry,
    ScheduleSpec,
    TaskSpec,
)
from mmft_core.config.layers import combine
from mmft_core.config.options import RenamedOptionWarning
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import dump_toml, merge, nest, parse_set
from mmft_core.errors import ConfigError, DataError, IncompatibleError, UnknownComponentError

IMAGE_OPTIONS = "mmft_vision.options:ImageBackboneOptions"
SPECS = (
    BackboneSpec(
        name="net",
        modality="image",
        options=IMAGE_OPTIONS,
        defaults={"engine.lr": 1e-4, "engine.epochs": 7},
        from_scratch={"engine.weight_decay": 0.5, "engine.epochs": 50, "optimizer.momentum": 0.5},
        summary="",
        build="a:b",
    ),
    BackboneSpec(name="bert", modality="text", summary="", build="a:b"),
    DatasetSpec(
        name="digits",
        modalities=("image",),
        targets=("class",),
        options="mmft_vision.options:SplitOptions",
        defaults={"backbone.image_size": 32, "backbone.no_such": 1, "engine.epochs": 30},
        summary="",
        build="a:b",
    ),
    DatasetSpec(
        name="folder",
        modalities=("image",),
        targets=("class",),
        options="mmft_vision.options:ImageFolderOptions",
        opens=("/",),
        summary="",
        build="a:b",
    ),
    DatasetSpec(
        name="table",
        modalities=("image",),
        targets=("class",),
        options="mmft_vision.options:ImageTableOptions",
        opens=(".csv",),
        summary="",
        build="a:b",
    ),
    DatasetSpec(name="books", modalities=("text",), targets=("class",), summary="", build="a:b"),
    TaskSpec(
        name="image-cls",
        modalities=("image",),
        target="class",
        predicts="classes",
        options="mmft_vision.options:ImageClassificationOptions",
        default_dataset="digits",
        default_metrics=("accuracy",),
        monitor="accuracy",
        summary="",
        build="a:b",
    ),
    TaskSpec(
        name="text-cls",
        modalities=("text",),
        target="class",
        predicts="classes",
        summary="",
        build="a:b",
    ),
    TaskSpec(
        name="match",
        modalities=("image", "text"),
        target="none",
        predicts="ranks",
        summary="",
        build="a:b",
    ),
    DatasetSpec(
        name="captions", modalities=("image", "text"), targets=("none",), summary="", build="a:b"
    ),
    MetricSpec(name="accuracy", measures="classes", summary="", build="a:b"),
    MetricSpec(name="f1", measures="classes", summary="", build="a:b"),
    MetricSpec(name="bleu", measures="text", summary="", build="a:b"),
    OptimizerSpec(
        name="adamw", options="mmft_optimizers.options:AdamOptions", summary="", build="a:b"
    ),
    OptimizerSpec(
        name="sgd", options="mmft_optimizers.options:SgdOptions", summary="", build="a:b"
    ),
    ScheduleSpec(name="cosine", summary="", build="a:b"),
    ScheduleSpec(name="constant", summary="", build="a:b"),
)
REGISTRY = Registry(
    tuple(Component(spec=s, plugin="acme", distribution="acme", version="1") for s in SPECS)
)
BASE = {"task": "image-cls", "backbone": "net"}


def plan(*settings: str, **tree: object) -> Plan:
    return make_plan(merge(BASE, tree, parse_set(settings)), REGISTRY)


class TestDefaults:
    def test_the_task_gives_dataset_metrics_and_monitor(self) -> None:
        made = plan()
        assert made.dataset.component.name == "digits"
        assert [part.component.name for part in made.metrics] == ["accuracy"]
        assert made.monitor == "accuracy"
        assert made.on_bad_sample == "fail"
        assert made.backbones["image"].weights == "auto"

    def test_advice_of_the_dataset_goes_over_that_of_the_backbone(self) -> None:
        made = plan()
        assert (made.engine.lr, made.engine.epochs) == (1e-4, 30)
        assert made.backbones["image"].options.image_size == 32

    def test_the_user_goes_over_all_advice(self) -> None:
        made = plan("engine.lr=0.5", "backbone.image_size=64", "engine.monitor=loss")
        assert (made.engine.lr, made.backbones["image"].options.image_size) == (0.5, 64)
        assert made.monitor == "loss"

    def test_a_start_from_random_weights_has_its_own_advice_below_the_user(self) -> None:
        assert plan().from_scratch().engine.weight_decay == 0.5
        assert plan().from_scratch().engine.epochs == 30  # The data set knows better.
        assert (
            plan().engine.weight_decay == plan("backbone.weights=auto").engine.weight_decay != 0.5
        )
        assert plan("backbone.weights=none").engine.weight_decay == 0.5
        assert plan("engine.weight_decay=0.1").from_scratch().engine.weight_decay == 0.1

    @pytest.mark.parametrize("setting", ["optimizer=sgd", "optimizer.name=sgd"])
    def test_an_optimizer_has_options_and_is_named_in_several_ways(self, setting: str) -> None:
        named = plan("engine.optimizer=sgd")
        assert named.optimizer.component.name == "sgd" and named.optimizer.options.momentum == 0.9
        assert plan(setting) == named
        assert plan("engine.optimizer=adamw", setting) == named
        assert named.from_scratch().optimizer.options.momentum == 0.5
        own = plan(setting, "optimizer.momentum=0.7", "schedule=constant")
        assert own.optimizer.options.momentum == 0.7
        assert own.from_scratch().optimizer.options.momentum == 0.7
        assert own.tree()["optimizer"] == {"momentum": 0.7, "nesterov": True}
        assert make_plan(own.tree(), REGISTRY) == own
        with pytest.raises(ConfigError, match="'adamw' has no option 'optimizer.momentum'"):
            plan("optimizer.momentum=0.7")

    def test_former_names_are_told_and_the_later_layer_wins(self) -> None:
        layers = [{"engine": {"accumulate": 4}}, {"engine": {"gradient_accumulation_steps": 2}}]
        for first, second, steps in ((0, 1, 2), (1, 0, 4)):
            with pytest.warns(RenamedOptionWarning, match="engine.accumulate is now called"):
                tree = combine([BASE, layers[first], layers[second]], REGISTRY)
            assert make_plan(tree, REGISTRY).engine.gradient_accumulation_steps == steps

    def test_adapters_learn_faster_than_the_weights_that_advice_is_for(self) -> None:
        full, adapted = plan().engine, plan("engine.tune=lora").engine
        assert adapted.lr == pytest.approx(20 * full.lr) and adapted.head_lr == full.lr
        own = plan("engine.tune=lora", "engine.lr=0.01").engine
        assert (own.lr, own.head_lr) == (0.01, full.head_lr)
        assert plan("engine.tune=head").engine.lr == full.lr

    def test_weights_that_are_trained_beside_adapters_learn_as_advised(self) -> None:
        tree = {
            "task": "match",
            "dataset": "captions",
            "backbone": {"image": "net", "text": "bert"},
        }
        full = make_plan(tree, REGISTRY).engine.lr
        for tune, factor in (("text=lora", 1), ("image=head,text=lora", 20), ("lora", 20)):
            engine = make_plan({**tree, "engine": {"tune": tune}}, REGISTRY).engine
            assert engine.lr == pytest.approx(factor * full), tune

    def test_advice_for_options_that_a_part_lacks_is_passed_over(self) -> None:
        assert not hasattr(plan().backbones["image"].options, "no_such")


class TestNames:
    def test_what_is_said_of_one_backbone_goes_over_what_is_said_of_all(self) -> None:
        made = plan("backbone.image_size=8", "backbone.image.image_size=64")
        assert made.backbones["image"].options.image_size == 64

    def test_short_and_long_forms_are_the_same(self) -> None:
        long = {
            "task": {"name": "image-cls"},
            "backbone": {"image": {"name": "net", "flip": False}},
            "dataset": {"name": "acme/digits"},
            "metrics": "accuracy",
        }
        assert make_plan(long, REGISTRY) == plan("backbone.flip=false", dataset="digits")

    def test_two_backbones_by_modality(self) -> None:
        tree = {
            "task": "match",
            "dataset": "captions",
            "backbone": {
                "weights": "none",
                "image": {"name": "net", "weights": "a.pt"},
                "text": {"name": "bert"},
            },
        }
        made = make_plan(tree, REGISTRY)
        assert {m: p.component.name for m, p in made.backbones.items()} == {
            "image": "net",
            "text": "bert",
        }
        assert {m: p.weights for m, p in made.backbones.items()} == {
            "image": "a.pt",
            "text": "none",
        }

    @pytest.mark.parametrize(
        "tree, error, sentence",
        [
            ({}, ConfigError, r"No task was chosen. Give --task NAME; `mmft plugins --kind task`"),
            ({"task": "image-cls"}, ConfigError, "No backbone was chosen"),
            ({**BASE, "task": {"mixup": 0.1}}, ConfigError, "No task was chosen"),
            ({**BASE, "backbon": "x"}, ConfigError, r"no setting 'backbon'. Did you mean 'backb"),
            (
                {**BASE, "image_size": 64},
                ConfigError,
                r"Did you mean 'backbone.image_size'",
            ),
            ({"augmentation": "none"}, ConfigError, r"Did you mean 'backbone.augment'"),
            ({**BASE, "learning_rate": 1}, ConfigError, r"no setting 'learning_rate'\.(?! Did)"),
            ({**BASE, "rank": 4}, ConfigError, r"Did you mean 'engine.lora.rank'"),
            ({**BASE, "weights": "none"}, ConfigError, r"Did you mean 'backbone.weights'"),
            ({**BASE, "momentum": 0.9}, ConfigError, r"Did you mean 'optimizer.momentum'"),
            (
                {"task": "match", "dataset": "captions", "backbone": "bert", "image_size": 64},
                ConfigError,
                r"no setting 'image_size'\.(?! Did you mean 'backbone)",
            ),
            ({**BASE, "engine": 3}, ConfigError, "'engine' is 3, not a table"),
            ({**BASE, "task": "image-clss"}, UnknownComponentError, "mean 'image-cls'"),
            ({**BASE, "backbone": "nett"}, UnknownComponentError, "mean 'net'"),
            ({**BASE, "dataset": "digit"}, UnknownComponentError, "mean 'digits'"),
            ({**BASE, "dataset": ""}, ConfigError, "No dataset was chosen. Give --dataset NAME"),
            ({**BASE, "dataset": {"path": ""}}, ConfigError, "No dataset was chosen"),
            ({**BASE, "metrics": ["acc"]}, UnknownComponentError, "There is no metric named 'acc'"),
            ({**BASE, "metrics": 3}, ConfigError, "metrics = 3 is not a list of names"),
            ({**BASE, "metric": {"accuracy": "x"}}, ConfigError, "accuracy is 'x', not a table"),
            ({**BASE, "metric": "f1"}, ConfigError, "'metric' is 'f1', not a table"),
            ({**BASE, "metric": {"f1": {}}}, ConfigError, "metric.f1 is set, but the run has no"),
            (
                {**BASE, "backbone": {"text": {"name": "net"}}},
                ConfigError,
                "'net' reads image, not text",
            ),
            ({**BASE, "on_bad_sample": "ignore"}, ConfigError, "expected 'fail' or 'skip'"),
            ({"task": "text-cls", "backbone": "bert"}, ConfigError, "has no default dataset"),
            ({**BASE, "dataset": "books"}, IncompatibleError, "reads image.*holds text"),
            ({**BASE, "engine": {"lrr": 1}}, ConfigError, r"engine.lrr'. Did you mean 'lr'"),
            ({**BASE, "engine": {"lr": "x"}}, ConfigError, "engine.lr = 'x' is not valid"),
            ({**BASE, "engine": {"tune": "heads"}}, ConfigError, "tune = 'heads' is not valid"),
            ({**BASE, "engine": {"tune": "imag=head"}}, ConfigError, "Did you mean 'image'"),
            ({**BASE, "task": {"name": "image-cls", "mixp": 1}}, ConfigError, "mean 'mixup'"),
            (
                {**BASE, "backbone": {"name": "net", "weights": 3}},
                ConfigError,
                r"^backbone.weights = 3 is not valid",
            ),
            (
                {**BASE, "backbone": {"name": "net", "weights": ""}},
                ConfigError,
                r"^backbone.weights = '' is not valid",
            ),
            (
                {**BASE, "backbone": {"name": "net", "image_size": "x"}},
                ConfigError,
                r"^backbone.image_size = 'x' is not valid",
            ),
            (
                {**BASE, "backbone": {"name": "net", "image": {"image_size": "x"}}},
                ConfigError,
                r"^backbone.image.image_size = 'x' is not valid",
            ),
            (
                {**BASE, "backbone": {"name": "net", "image_sise": 3}},
                ConfigError,
                r"no option 'backbone.image_sise'. Did you mean 'image_size'",
            ),
        ],
    )
    def test_mistakes(self, tree: dict, error: type[Exception], sentence: str) -> None:
        with pytest.raises(error, match=sentence) as caught:
            make_plan(tree, REGISTRY)
        assert "\n" not in str(caught.value)


class TestPaths:
    def test_the_dataset_that_opens_a_folder(self, tmp_path: Path) -> None:
        made = plan(dataset=str(tmp_path))
        assert made.dataset.component.name == "folder"
        assert made.dataset.options.path == str(tmp_path)

    def test_the_dataset_that_opens_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "photos.CSV"
        file.touch()
        assert plan(dataset=str(file)).dataset.component.name == "table"

    def test_a_path_among_the_settings(self, tmp_path: Path) -> None:
        assert plan(f"dataset.path={tmp_path}").dataset.component.name == "folder"
        named = plan(f"dataset.path={tmp_path}", "dataset.name=table")
        assert named.dataset.component.name == "table"

    def test_a_relative_folder_without_a_slash(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "photos").mkdir()
        assert plan(dataset="photos").dataset.options.path == "photos"

    def test_a_name_goes_over_a_folder_of_that_name(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "digits").mkdir()
        assert plan(dataset="digits").dataset.component.name == "digits"

    @pytest.mark.parametrize("path", ["./no/such", "no-such.csv"])
    def test_missing(self, path: str) -> None:
        with pytest.raises(DataError, match="There is no file or folder"):
            plan(dataset=path)

    def test_no_dataset_opens_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.xml").touch()
        with pytest.raises(DataError, match=r"The file \S+a\.xml cannot be used") as caught:
            plan(dataset=str(tmp_path / "a.xml"))
        assert str(caught.value.hint).startswith("Give a folder, or a file ending in .csv, or the")

    def test_several_datasets_open_it(self, tmp_path: Path) -> None:
        twice = Registry(
            (
                *REGISTRY.components,
                Component(spec=SPECS[3], plugin="other", distribution="o", version="1"),
            )
        )
        with pytest.raises(ConfigError, match=r"Several datasets open .*acme/folder, other/folder"):
            make_plan({**BASE, "dataset": str(tmp_path)}, twice)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "engine.clip_norm": st.sampled_from(["none", 0.5]),
        "engine.patience": st.sampled_from(["none", 3]),
        "engine.tune": st.sampled_from(["head", "gradual:2", "lora"]),
        "engine.lr": st.floats(1e-6, 1.0),
        "backbone.image.augment": st.sampled_from(["none", "light"]),
        "backbone.weights": st.sampled_from(["none", "auto", "dir/model.pt"]),
        "task.mixup": st.floats(0.0, 2.0),
        "dataset.name": st.sampled_from(["digits", "table"]),
        "metrics": st.lists(st.sampled_from(["f1", "accuracy"]), min_size=1, max_size=2),
        "on_bad_sample": st.sampled_from(["skip", "fail"]),
    },
)


@given(SETTINGS)
def test_running_a_written_plan_again_is_the_same_plan(settings: dict) -> None:
    tree = merge({"task": {"name": "image-cls"}, "backbone": {"name": "net"}}, nest(settings))
    first = make_plan(tree, REGISTRY)
    again = make_plan(tomllib.loads(dump_toml(first.tree())), REGISTRY)
    assert again == first
    assert again.tree() == first.tree()
