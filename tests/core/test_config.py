"""Configuration trees: reading, merging, and writing so that reading gives the same again."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import convert
from mmft_core.config.trees import dump_toml, flatten, merge, nest, parse_set, read_toml
from mmft_core.errors import ConfigError

KEYS = st.sampled_from(["name", "engine", "a", "lr"]) | st.from_regex(
    r"[a-z0-9_-]+", fullmatch=True
)
VALUES = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    st.lists(st.integers(0, 9), max_size=3),
)
TREES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=4),
    lambda below: st.dictionaries(KEYS, VALUES | below, max_size=3),
    max_leaves=8,
)


@given(TREES)
def test_what_is_written_is_read_again(tree: dict) -> None:
    assert tomllib.loads(dump_toml(tree)) == tree


@given(TREES, TREES)
def test_of_merged_trees_the_last_wins(a: dict, b: dict) -> None:
    assert merge(a, a) == merge(a) == a
    merged = flatten(merge(a, b))
    assert all(merged[key] == value for key, value in flatten(b).items() if key in merged)


def test_merging_goes_table_by_table_and_leaves_its_arguments_alone() -> None:
    a, b = {"t": {"x": 1}}, {"t": {"y": 2}}
    merged = merge(a, b)
    assert merged == {"t": {"x": 1, "y": 2}}
    merged["t"]["z"] = 3
    assert (a, b) == ({"t": {"x": 1}}, {"t": {"y": 2}})


@pytest.mark.parametrize(
    "layers, merged",
    [
        (("x", {"flip": False}), {"name": "x", "flip": False}),
        (({"flip": False}, "x"), {"name": "x", "flip": False}),
        (("x", {"name": "y"}), {"name": "y"}),
        (({"name": "y"}, "x"), {"name": "x"}),
        (("x", "y"), "y"),
        ((3, {"a": 1}), {"a": 1}),
        (({"a": 1}, 3), 3),
    ],
)
def test_a_string_that_meets_a_table_is_its_name(layers: tuple, merged: object) -> None:
    assert merge(*({"task": layer} for layer in layers)) == {"task": merged}


@given(st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES, max_size=5))
def test_nesting_and_flattening(dotted: dict) -> None:
    tree = nest(dotted)
    assert nest(flatten(tree)) == tree


class TestSet:
    @pytest.mark.parametrize(
        "argument, tree",
        [
            ("engine.lr=3e-4", {"engine": {"lr": 3e-4}}),
            ("engine.epochs=3", {"engine": {"epochs": 3}}),
            ("backbone.flip=false", {"backbone": {"flip": False}}),
            ("dataset.path=/a/b c.csv", {"dataset": {"path": "/a/b c.csv"}}),
            ("dataset.path=a=b", {"dataset": {"path": "a=b"}}),
            ('dataset.path="3"', {"dataset": {"path": "3"}}),
            ("metrics=['f1', \"x\"]", {"metrics": ["f1", "x"]}),
            ("engine.clip_norm=none", {"engine": {"clip_norm": "none"}}),
            ("engine.tune=last:2", {"engine": {"tune": "last:2"}}),
            (" a.b = 1 ", {"a": {"b": 1}}),
            ("x=", {"x": ""}),
            ("x=42 # why", {"x": "42 # why"}),
            ("x=42\ny = 1", {"x": "42\ny = 1"}),
            ("x=[1, # one\n2]", {"x": [1, 2]}),
        ],
    )
    def test_values(self, argument: str, tree: dict) -> None:
        assert parse_set([argument]) == tree

    @pytest.mark.parametrize("argument", ["", "engine.lr", "=3", "engine.=3", ".lr=3", "a..b=1"])
    def test_what_is_not_an_assignment(self, argument: str) -> None:
        with pytest.raises(ConfigError, match="is not KEY=VALUE"):
            parse_set([argument])

    def test_the_last_wins(self) -> None:
        assert parse_set(["a.x=1", "a.y=2", "a.x=3"]) == {"a": {"x": 3, "y": 2}}

    @given(st.text())
    def test_any_text_is_a_tree_or_one_sentence(self, text: str) -> None:
        try:
            tree = parse_set([text])
        except ConfigError as error:
            assert "--set" in str(error)
        else:
            assert len(flatten(tree)) <= 1 or "=" in text

    @given(KEYS, VALUES.filter(lambda v: not isinstance(v, str)))
    def test_what_toml_writes_is_read_as_it_was(self, key: str, value: object) -> None:
        written = dump_toml({key: value}).removeprefix(f"{key} = ")
        assert parse_set([f"{key}={' '.join(written.split())}"]) == {key: value}


class TestToml:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="There is no configuration file"):
            read_toml(tmp_path / "run.toml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_toml(tmp_path)

    def test_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="cannot be read"):
            read_toml(tmp_path / "run.toml")

    def test_not_toml_names_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "run.toml").write_text("[engine]\nlr = \n")
        with pytest.raises(ConfigError, match=r"not valid TOML.*line 2"):
            read_toml(tmp_path / "run.toml")


@st.composite
def engine_configs(draw: st.DrawFn) -> EngineConfig:
    positive = st.floats(1e-9, 1e9)
    count = st.none() | st.integers(1, 10**6)
    values = {
        "epochs": draw(st.integers(1, 1000)),
        "steps": draw(count),
        "lr": draw(positive),
        "clip_norm": draw(st.none() | positive),
        "ema": draw(st.none() | st.floats(0.01, 0.99)),
        "optimizer": draw(st.sampled_from(["adamw", "adam", "sgd"])),
        "monitor": draw(st.none() | st.sampled_from(["loss", "f1/macro"])),
        "workers": draw(st.none() | st.integers(0, 8)),
        "tune": draw(st.sampled_from(["full", "head", "last:2"])),
    }
    return EngineConfig(**values)


@given(engine_configs())
def test_a_written_configuration_is_read_as_the_same_also_where_it_is_unset(config) -> None:
    written = dump_toml({"engine": asdict(config)})
    again = convert(tomllib.loads(written)["engine"], EngineConfig, "engine")
    assert again == config
