"""What plugins build on, frozen: the public names, and how they are called.

A difference is a decision. What is added goes into `public_api.txt`; what is removed or renamed
breaks plugins, and raises `API_VERSION` as well. `python -m tests.core.test_public_api` writes it.

The packages of the core list their public names in `__init__.pyi`. No plugin imports another.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mmft
import mmft_core
import mmft_vision
from mmft_core.engine import Evaluation
from mmft_core.specs import KINDS
from mmft_core.utils.public_names import public_names

PUBLIC = ("mmft_core", "mmft_core.contracts", "mmft_core.errors", "mmft_testing")
PARTS = ("mmft_audio.parts", "mmft_tabular.parts", "mmft_text.parts", "mmft_vision.parts")
"""What plugins give to networks of other plugins."""

FROZEN = Path(__file__).with_name("public_api.txt")

CORE = Path(mmft_core.__file__).parent
ROOMS = {f"mmft_core.{p.parent.name}": public_names(p) for p in sorted(CORE.glob("*/__init__.pyi"))}
MODULES = ("mmft_core.cpus", "mmft_core.precision")
"""Those whose functions and classes are all public."""

USERS = (
    Path(mmft.__file__).parent,
    *sorted(Path(mmft_vision.__file__).parents[1].glob("mmft_*")),
    Path(__file__).parents[2] / "examples",
)


def test_nothing_public_has_changed() -> None:
    frozen, now = FROZEN.read_text().splitlines(), list(listing())
    gone, new = sorted(set(frozen) - set(now)), sorted(set(now) - set(frozen))
    assert not gone and not new, f"gone or changed: {gone}; new: {new}; see {__name__}"


def test_all_names_of_the_hooks_are_public() -> None:
    hooks = importlib.import_module("mmft_core.hookspecs")
    known = {name for name in vars(hooks) if name.startswith("register_")}
    assert known == {f"register_{kind}" for kind in KINDS}


def test_packages_have_what_they_list() -> None:
    for room, names in ROOMS.items():
        package = importlib.import_module(room)
        for name, module in names.items():
            found = importlib.import_module(f"{room}.{module or name}")
            assert getattr(package, name) is (getattr(found, name) if module else found)


@pytest.mark.parametrize("folder", USERS, ids=lambda folder: folder.name)
def test_plugins_import_public_names_alone(folder: Path) -> None:
    private = [
        f"{file.relative_to(folder)}: {module}.{name}"
        for file in sorted(folder.rglob("*.py"))
        for module, name in core_imports(ast.parse(file.read_text(encoding="utf-8")))
        if not is_public(module, name)
    ]
    assert not private, private


def test_old_names_still_work() -> None:
    from mmft_core import contracts

    assert contracts.called is contracts.called_layers
    assert contracts.named is contracts.flatten_tensors
    assert contracts.grouped is contracts.unflatten_tensors
    assert contracts.Part is contracts.GraphPart
    with pytest.raises(AttributeError, match="no attribute 'nemed'"):
        _ = contracts.nemed
    old = mmft_core.MetricSpec(
        name="m", summary="S.", build="a:b", measures="x", scratch={"engine.lr": 1.0}
    )
    assert old.from_scratch == {"engine.lr": 1.0}
    assert replace(old, from_scratch={}).from_scratch == {}
    evaluation = Evaluation(loss=1.5, values={"a": None, "b/c": [1.0]})
    assert evaluation.single == {"loss": 1.5, "a": None} and evaluation.figures == {"loss": 1.5}
    assert evaluation.figure("loss") == 1.5
    outputs = contracts.Outputs(None, figures={"a": torch.ones(2)})
    assert list(outputs.scalars) == ["a"] and list(replace(outputs, loss=None).scalars) == ["a"]
    assert replace(outputs, scalars={}).scalars == {}

    class Judging(contracts.NoTargets):
        def for_judging(self) -> contracts.TargetCodec:
            return other

    other = contracts.NoTargets()
    assert Judging().for_evaluation() is other and other.for_evaluation() is other


def test_a_private_import_is_found() -> None:
    program = """
import mmft_core.engine.loop
from mmft_core.data import Subset, splits
from mmft_core.engine.loop import Engine
from mmft_core.contracts import Split, tasks
def later():
    from mmft_core import cpus, runner
"""
    found = [f"{m}.{n}" for m, n in core_imports(ast.parse(program)) if not is_public(m, n)]
    assert sorted(found) == [
        "mmft_core.contracts.tasks",
        "mmft_core.data.splits",
        "mmft_core.engine.loop",
        "mmft_core.engine.loop.Engine",
        "mmft_core.runner",
    ]


def core_imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a program imports of the core: (module, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [name.name.rpartition(".")[::2] for name in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported = [(node.module or "", name.name) for name in node.names]
        else:
            continue
        yield from ((m, n) for m, n in imported if (m or n).split(".")[0] == "mmft_core")


def is_public(module: str, name: str) -> bool:
    if not module or module in MODULES or f"{module}.{name}" in MODULES:
        return True
    if module in ROOMS:
        return name in ROOMS[module]
    return module in PUBLIC and name in public(importlib.import_module(module))


def listing() -> Iterator[str]:
    """A line for each public name: functions and methods with what they take, fields of data."""
    for place in PUBLIC + PARTS:
        module = importlib.import_module(place)
        for name in sorted(public(module)):
            thing = getattr(module, name)
            yield f"{place}.{name}{called(thing)}"
            if inspect.isclass(thing):
                yield from (f"{place}.{name}.{member}" for member in members(thing))
    for room, names in ROOMS.items():
        # Their classes may grow; so what these have is not frozen.
        yield from (f"{room}.{n}{called(getattr(importlib.import_module(room), n))}" for n in names)


def public(module: Any) -> list[str]:
    """The public names of a module that has no list of them in a file of its own."""
    return list(getattr(module, "__all__", None) or own(module))


def own(module: Any) -> list[str]:
    """The classes and functions that a module defines, apart from private ones."""
    return [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
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
    told = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", told)  # Of a function that is a default.


if __name__ == "__main__":
    FROZEN.write_text("\n".join(listing()) + "\n")
