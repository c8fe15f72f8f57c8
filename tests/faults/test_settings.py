"""Settings of any kind: a plan, or one sentence."""

from __future__ import annotations

import os
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import dump_toml, flatten, merge, parse_set
from mmft_core.errors import ConfigError, MmftError

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
REGISTRY = discover()
BASE = {"task": {"name": "image-cls"}, "backbone": {"name": "resnet18"}}
PLAN = make_plan(BASE, REGISTRY)
KNOWN = sorted(flatten(PLAN.tree()))
KEYS = st.sampled_from(KNOWN) | st.builds(
    lambda key, place, letter: key[: place % len(key)] + letter + key[place % len(key) + 1 :],
    st.sampled_from(KNOWN),
    st.integers(0, 60),
    st.sampled_from([*string.ascii_lowercase, ".", ""]),
)
VALUES = st.one_of(
    st.sampled_from(["none", "auto", "1", "-1", "0.5", "true", "inf", "nan", "[]", "{a=1}", "[1]"]),
    st.sampled_from(["1979-05-27", "head", "last:2", "image=x", "1e400", '"', "''", "\x7f", "é"]),
    st.integers().map(str),
    st.text("aé[{\"'=.\n", max_size=6),
)


@FUZZ
@given(st.lists(st.tuples(KEYS, VALUES), max_size=3))
def test_any_settings_make_a_plan_or_one_sentence(pairs: list[tuple[str, str]]) -> None:
    try:
        tree = parse_set([f"{key}={value}" for key, value in pairs])
        plan = make_plan(merge(BASE, tree), REGISTRY)
    except MmftError as error:
        assert error.message.strip()
        return
    again = make_plan(tomllib.loads(dump_toml(plan.tree())), REGISTRY)
    assert again.tree() == plan.tree(), "config.toml repeats the run"


TABLES = [*BASE, "dataset", "engine", "metric", "folds", "x"]
WHOLE = st.integers(-(2**63), 2**63 - 1)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), WHOLE, st.floats(), st.text("aé.", max_size=4)),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("ab"), below),
    max_leaves=4,
)


@FUZZ
@given(st.dictionaries(st.sampled_from(TABLES), PLAIN))
def test_any_file_makes_a_plan_or_one_sentence(tree: dict[str, Any]) -> None:
    try:
        make_plan(merge(BASE, tree), REGISTRY)
    except MmftError as error:
        assert error.message.strip()


@FUZZ
@given(st.sampled_from([k for k in KNOWN if k.startswith("engine.")]), st.integers(0, 20))
def test_a_misspelt_key_is_named_with_the_one_that_is_meant(key: str, place: int) -> None:
    name = key.removeprefix("engine.").replace("lora.", "")
    wrong = name[: place % len(name)] + "q" + name[place % len(name) :]
    table = key.rpartition(".")[0]
    try:
        make_plan(merge(BASE, parse_set([f"{table}.{wrong}=1"])), REGISTRY)
    except MmftError as error:
        assert f"{table}.{wrong}" in str(error) and "Did you mean" in str(error)
    else:
        raise AssertionError(f"{table}.{wrong} was taken")


def test_a_path_that_no_file_could_hold(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"dataset.path = .*d\ufffd is not UTF-8"):
        make_plan(merge(BASE, {"dataset": {"path": str(folder)}}), REGISTRY)
