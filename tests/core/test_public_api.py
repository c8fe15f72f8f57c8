"""What plugins build on, frozen: the public names, and how they are called.

A difference is a decision. What is added goes into `public_api.txt`; what is removed or renamed
breaks plugins, and raises `API_VERSION` as well. `python -m tests.core.test_public_api` writes it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from mmft_core.specs import KINDS

PUBLIC = (
    "mmft_core",
    "mmft_core.contracts",
    "mmft_core.errors",
    "mmft_core.testing",
    "mmft_audio.parts",
    "mmft_tabular.parts",
    "mmft_text.parts",
    "mmft_vision.parts",
)
FROZEN = Path(__file__).with_name("public_api.txt")


def test_nothing_public_has_changed() -> None:
    frozen, now = FROZEN.read_text().splitlines(), list(listing())
    gone, new = sorted(set(frozen) - set(now)), sorted(set(now) - set(frozen))
    assert not gone and not new, f"gone or changed: {gone}; new: {new}; see {__name__}"


def test_all_names_of_the_hooks_are_public() -> None:
    hooks = importlib.import_module("mmft_core.hookspecs")
    known = {name for name in vars(hooks) if name.startswith("register_")}
    assert known == {f"register_{kind}" for kind in KINDS}


def listing() -> Iterator[str]:
    """A line for each public name: functions and methods with what they take, fields of data."""
    for place in PUBLIC:
        module = importlib.import_module(place)
        for name in sorted(getattr(module, "__all__", None) or own_classes(module)):
            thing = getattr(module, name)
            yield f"{place}.{name}{called(thing)}"
            if inspect.isclass(thing):
                yield from (f"{place}.{name}.{member}" for member in members(thing))


def own_classes(module: Any) -> list[str]:
    return [
        name
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__
    ]


def members(thing: type) -> Iterator[str]:
    """What a class itself adds: fields with whether they may be left out, methods, properties."""
    if is_dataclass(thing):
        for field in fields(thing):
            yield f"{field.name}: {field.type}"
    for name, member in sorted(vars(thing).items()):
        if name.startswith("_") or (is_dataclass(thing) and name in thing.__dataclass_fields__):
            continue
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if inspect.isfunction(member) or isinstance(member, property):
            yield f"{name}{called(member)}"


def called(thing: Any) -> str:
    """The parameters of a function, without their annotations."""
    if not inspect.isfunction(thing):
        return ""
    signature = inspect.signature(thing)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


if __name__ == "__main__":
    FROZEN.write_text("\n".join(listing()) + "\n")
