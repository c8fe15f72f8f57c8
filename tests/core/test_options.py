"""Options: untyped settings become typed ones, or a sentence that says which key is wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from mmft_core.config.options import (
    RenamedOptionWarning,
    as_written,
    convert,
    describe,
    option_names,
)
from mmft_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Options:
    width: Annotated[int, Meta(ge=1, le=512, description="Channels of the first layer.")] = 64
    rate: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    mode: Literal["fast", "exact"] = "fast"
    flip: bool = True
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Most of all.")] = None
    label: str = "none of these"
    kinds: dict[str, Literal["text", "number"]] = field(default_factory=dict)
    sizes: tuple[int, ...] = field(default_factory=lambda: (1, 2))


def test_describe_gives_type_default_and_documentation() -> None:
    described = {o.name: (o.type, o.default, o.description) for o in describe(Options)}
    assert described == {
        "width": ("int >= 1 and <= 512", 64, "Channels of the first layer."),
        "rate": ("float > 0 and < 1", 0.5, ""),
        "mode": ("'fast' | 'exact'", "fast", ""),
        "flip": ("bool", True, ""),
        "limit": ("int >= 1 or unset", None, "Most of all."),
        "label": ("str", "none of these", ""),
        "kinds": ("dict[str, 'text' | 'number']", {}, ""),
        "sizes": ("tuple[int, ...]", (1, 2), ""),
    }
    assert option_names(Options) == described.keys()


def test_what_is_not_given_keeps_its_default() -> None:
    assert convert({}, Options, "x") == Options()
    assert convert({"width": 3, "rate": 0.25}, Options, "x") == Options(width=3, rate=0.25)


@pytest.mark.parametrize(
    "given, value",
    [
        ({"rate": 0.5}, 0.5),
        ({"limit": "none"}, None),
        ({"limit": 3}, 3),
        ({"label": "none"}, "none"),  # Only what may be unset is unset by that word.
        ({"sizes": [3]}, (3,)),
    ],
)
def test_values_are_converted(given: dict[str, object], value: object) -> None:
    (key,) = given
    assert getattr(convert(given, Options, "x"), key) == value


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"widht": 3}, r"There is no option 'backbone.widht'. Did you mean 'width'\? Options of"),
        ({"width": "wide"}, r"backbone.width = 'wide' is not valid: expected int >= 1 and <= 512"),
        ({"width": 3.5}, r"backbone.width = 3.5 is not valid: expected int"),
        ({"width": True}, r"backbone.width = True is not valid: expected int"),
        ({"width": 0}, r"backbone.width = 0 is not valid: expected int >= 1"),
        ({"width": 1000}, r"backbone.width = 1000 is not valid: expected .* <= 512"),
        ({"rate": 1.0}, r"backbone.rate = 1.0 is not valid: expected .* < 1"),
        ({"mode": "slow"}, r"backbone.mode = 'slow' is not valid: expected 'fast' \| 'exact'"),
        ({"flip": "yes"}, r"backbone.flip = 'yes' is not valid: expected bool"),
        ({"limit": "no"}, r"backbone.limit = 'no' is not valid: expected int >= 1 or unset"),
        (
            {"kinds": {"a": "text", "b": "nummer"}},
            r"backbone.kinds.b = 'nummer' is not valid: expected 'text' \| 'number'",
        ),
        ({"sizes": [1, "b"]}, r"backbone.sizes\[1\] = 'b' is not valid: expected int"),
    ],
)
def test_one_sentence_names_key_value_and_what_is_expected(given, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        convert(given, Options, "backbone")
    assert "\n" not in str(caught.value)


@dataclass(frozen=True, kw_only=True)
class Renamed:
    head_lr: Annotated[float, Meta(gt=0, extra={"formerly": ("fresh_lr", "new_lr")})] = 0.5
    inner: Options = field(default_factory=Options)


def test_a_former_name_works_and_is_told() -> None:
    with pytest.warns(RenamedOptionWarning, match=r"x\.fresh_lr is now called x\.head_lr\."):
        assert convert({"fresh_lr": 0.25}, Renamed, "x") == Renamed(head_lr=0.25)
    assert {"head_lr", "new_lr"} <= option_names(Renamed)
    with pytest.raises(ConfigError, match="Both are set"):
        convert({"fresh_lr": 0.25, "head_lr": 0.5}, Renamed, "x")
    with warnings.catch_warnings(), as_written():
        warnings.simplefilter("error", UserWarning)
        assert convert({"fresh_lr": 0.25}, Renamed, "x") == Renamed(head_lr=0.25)
    with pytest.raises(ConfigError, match=r"x\.head_lr = -1 is not valid"), as_written():
        convert({"fresh_lr": -1}, Renamed, "x")
