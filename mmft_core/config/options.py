"""Typed options: converting untyped settings to dataclasses, and describing the dataclasses.

An options class is a frozen dataclass in which every field has a default. Constraints and
documentation are in the annotations, which msgspec checks:

    @dataclass(frozen=True, kw_only=True)
    class Options:
        width: Annotated[int, Meta(ge=1, description="Channels of the first layer.")] = 64

A renamed option lists its former names. These still work: users get a notice
(`RenamedOptionWarning`), and files written by earlier versions can be read.

        head_lr: Annotated[float, Meta(extra={"formerly": ("fresh_lr",)})] = 1e-3
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import sys
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from mmft_core.errors import ConfigError, PluginError, did_you_mean, first_line

T = TypeVar("T")


class RenamedOptionWarning(FutureWarning):
    """An option is given by its former name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """One option as `mmft plugins show` prints it."""

    name: str
    type: str
    default: Any
    description: str
    formerly: tuple[str, ...] = ()


def describe(options_type: type[Any]) -> Iterator[OptionInfo]:
    """Yield name, type, default and description of each field of an options dataclass."""
    yield from _described(options_type)  # type: ignore[arg-type]  # Classes can be hashed.


@functools.cache  # Every command asks hundreds of times, and annotations are slow to evaluate.
def _described(options_type: type[Any]) -> tuple[OptionInfo, ...]:
    hints = typing.get_type_hints(options_type, include_extras=True)
    found = []
    for field in dataclasses.fields(options_type):
        hint = hints[field.name]
        notes = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(
            OptionInfo(
                name=field.name,
                type=_type_name(hint),
                default=None if default is dataclasses.MISSING else default,
                description=next((m.description for m in notes if m.description), ""),
                formerly=next((m.extra.get("formerly", ()) for m in notes if m.extra), ()),
            )
        )
    return tuple(found)


@functools.cache
def _tables(options_type: type[Any]) -> dict[str, type[Any]]:
    """The options that are themselves dataclasses of options."""
    hints = typing.get_type_hints(options_type)
    classes = {name: hint for name, hint in hints.items() if isinstance(hint, type)}
    return {name: hint for name, hint in classes.items() if dataclasses.is_dataclass(hint)}


def option_names(options_type: type[Any]) -> frozenset[str]:
    """The names of the options, with those that they had in earlier versions."""
    names = (field.name for field in dataclasses.fields(options_type))
    return frozenset(names) | former_names(options_type).keys()


def option_keys(options_type: type[Any], prefix: str) -> Iterator[str]:
    """The dotted keys of options below a prefix, and of those in options that are tables."""
    yield from (f"{prefix}{name}" for name in sorted(option_names(options_type)))
    for name, table_type in _tables(options_type).items():  # type: ignore[arg-type]
        yield from option_keys(table_type, f"{prefix}{name}.")


def former_names(options_type: type[Any]) -> dict[str, str]:
    """What options were called in earlier versions, and what they are called now."""
    return {former: o.name for o in describe(options_type) for former in o.formerly}


def renamed(values: Mapping[str, Any], options_type: type[Any], where: str) -> dict[str, Any]:
    """Values with each option by the name that it has now.

    Args:
        where: dotted prefix of the keys, for messages.

    Raises:
        ConfigError: an option is given by both its names.
    """
    names = former_names(options_type)
    for former in (key for key in values if key in names):
        text = f"{where}.{former} is now called {where}.{names[former]}."
        if names[former] in values:
            raise ConfigError(f"{text} Both are set.", hint=f"Leave out {where}.{former}.")
        warnings.warn(text, RenamedOptionWarning, stacklevel=outside())
    return {names.get(key, key): value for key, value in values.items()}


def outside() -> int:
    """The `stacklevel` by which a warning points at the code that called mmft."""
    level, frame = 1, sys._getframe(1)
    own = ("mmft", "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(own):
        level, frame = level + 1, frame.f_back
    return level


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Accept former names without a notice, for settings that an earlier version wrote."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedOptionWarning)
        yield


def convert(values: Mapping[str, Any], options_type: type[T], where: str, owner: str = "") -> T:
    """Build the dataclass from untyped values.

    The string "none" unsets an option that may be unset, for TOML has no null.

    Args:
        where: dotted prefix of the keys, for messages: "engine", "backbone.image".
        owner: the component that has the options, for messages: "Backbone 'resnet50'".

    Raises:
        ConfigError: an unknown key (names the nearest), a wrong type, a value out of range.
    """
    known = {option.name for option in describe(options_type)}
    values = renamed(values, options_type, where)
    for key in values:
        if key not in known:
            valid = ", ".join(sorted(known)) or "none"
            raise ConfigError(
                (f"{owner} has" if owner else "There is")
                + f" no option '{where}.{key}'.{did_you_mean(key, known)}",
                hint=f"Options of {_inside(owner) or where}: {valid}.",
            )
    optional = {o.name for o in describe(options_type) if "unset" in o.type}
    given = {k: None if v == "none" and k in optional else v for k, v in values.items()}
    for name, table_type in _tables(options_type).items():  # type: ignore[arg-type]
        table = given.get(name)
        if isinstance(table, Mapping):
            typed = convert(table, table_type, f"{where}.{name}", owner)
            given[name] = dataclasses.asdict(typed)
    try:
        return msgspec.convert(given, options_type)
    except msgspec.ValidationError as error:
        told = _explain(str(error), values, options_type, where, owner)
        raise ConfigError(told) from None
    except TypeError as error:  # A type, or a bound on one, that msgspec does not support.
        raise PluginError(f"The options of {where} cannot be read: {first_line(error)}.") from None


def _inside(owner: str) -> str:
    """A component as it is called within a sentence."""
    return owner[:1].lower() + owner[1:]


def _explain(
    text: str, values: Mapping[str, Any], options_type: type[Any], where: str, owner: str
) -> str:
    """Turn msgspec's "Expected `float`, got `str` - at `$.lr`" into a sentence about the key."""
    reason, _, place = text.partition(" - at ")
    key = re.sub(r"^\$\.?", "", place.strip("`"))
    name = re.split(r"[.\[]", key)[0]
    hint = typing.get_type_hints(options_type, include_extras=True).get(name)
    given = values.get(name)
    if key.endswith("[...]") and isinstance(given, Mapping):  # Which entry, msgspec does not say.
        hint = typing.get_args(_bare(hint))[1]
        entry = next(k for k, v in given.items() if not _fits(v, hint))
        key, given = f"{name}.{entry}", given[entry]
    elif (index := re.fullmatch(rf"{name}\[(\d+)\]", key)) and isinstance(given, list | tuple):
        hint, given = typing.get_args(_bare(hint))[0], given[int(index[1])]
    if reason.startswith(("Expected `", "Invalid enum")) and hint and " >= " not in reason:
        reason = f"expected {_type_name(hint)}"
    reason = (reason[0].lower() + reason[1:]).replace("`", "")
    shown = f" {given!r}" if name in values else ""
    of = f" for {_inside(owner)}" if owner else ""
    return f"{where}.{key} ={shown} is not valid{of}: {reason}."


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _fits(value: Any, hint: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _type_name(hint: Any) -> str:
    """Name a type as a user would: "int >= 1", "'adam' | 'sgd'", "float, or unset"."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        base, *notes = typing.get_args(hint)
        return _type_name(base) + "".join(_bounds(m) for m in notes if isinstance(m, msgspec.Meta))
    if origin is Literal:
        return " | ".join(repr(a) for a in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(a) for a in typing.get_args(hint))
    if hint is type(None):
        return "unset"
    if origin is not None:
        inside = ", ".join("..." if a is Ellipsis else _type_name(a) for a in typing.get_args(hint))
        return f"{getattr(origin, '__name__', origin)}[{inside}]"
    return getattr(hint, "__name__", str(hint))


def _bounds(meta: msgspec.Meta) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    parts = [
        f"{sign} {getattr(meta, k):g}" for k, sign in signs.items() if getattr(meta, k) is not None
    ]
    return " " + " and ".join(parts) if parts else ""
