"""Adapters of several runs on one copy of the base weights; those of one run are active."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmft_core.contracts import Task
from mmft_core.engine import adapter_files, lora
from mmft_core.errors import IncompatibleError
from mmft_core.registry import Registry
from mmft_core.run import artifacts
from mmft_core.run.artifacts import LoadedModel
from mmft_core.run.validation import refuse_missing
from mmft_core.utils.digests import digest_of


def load_beside(
    run: Path, others: Mapping[str, Path], registry: Registry, settings: Mapping[str, Any]
) -> tuple[LoadedModel, dict[str, Callable[[], None]]]:
    """Load a run with separate adapters, and those of other runs beside them.

    Args:
        others: further runs, by the names under which their adapters are chosen.

    Returns:
        the model, and by name what chooses the adapters of another run; "" for the run's own.

    Raises:
        IncompatibleError: one has no separate adapters, or they belong to other base weights,
            another tokenizer or other settings than those of the first run.
        As `artifacts.load` does.
    """
    own = _told(run)
    for name, other in others.items():
        _check_alike(run, own, other, _told(other), name)
    model = artifacts.load(run, registry, settings, apart=True)
    for number, other in enumerate(others.values()):
        with artifacts.damage(other):
            for modality in model.task.backbones:
                folder = _folder(other) / "adapter" / modality
                adapter_files.load(model.task.backbone(modality), folder, _called(number))
    chosen = {name: partial(_choose, model.task, _called(k)) for k, name in enumerate(others)}
    model.task.eval()
    return model, {"": partial(_choose, model.task, "default"), **chosen}


def _called(number: int) -> str:
    """PEFT's name for adapters, which must not contain a dot."""
    return f"beside{number}"


def _choose(task: Task, name: str) -> None:
    for modality in task.backbones:
        lora.choose(task.backbone(modality), name)


def _folder(run: Path) -> Path:
    return run / "model" if (run / "model").is_dir() else run


def _told(run: Path) -> Mapping[str, Any]:
    """What `model.json` says of a run's backbones.

    Raises:
        IncompatibleError: it has no separate adapters.
    """
    refuse_missing(run)
    with artifacts.damage(run):
        content = json.loads((_folder(run) / "model.json").read_text(encoding="utf-8"))
        backbones: Mapping[str, Any] = content["backbones"]
        apart = all((_folder(run) / "adapter" / modality).is_dir() for modality in backbones)
    if not apart:
        raise IncompatibleError(
            f"{run} has no adapters that are stored without their base weights.",
            hint="Train it with --tune lora --set engine.lora.save=adapter.",
        )
    return backbones


def _check_alike(
    run: Path, own: Mapping[str, Any], other: Path, theirs: Mapping[str, Any], name: str
) -> None:
    """Raises:
    IncompatibleError: the adapters do not fit the same backbone.
    """
    same = own.keys() == theirs.keys()
    for modality in own if same else ():
        one, two = own[modality], theirs[modality]
        if one["loaded"]["digest"] != two["loaded"]["digest"]:
            raise IncompatibleError(
                f"--adapter {name}: the adapters of {other} were trained on other base weights "
                f"than those of {run}.",
                hint="Serve it separately.",
            )
        same &= one["name"] == two["name"] and one["options"] == two["options"]
        same &= _assets(run, modality) == _assets(other, modality)
    if not same:
        raise IncompatibleError(
            f"--adapter {name}: {other} has other settings of its backbone, or another tokenizer "
            f"or chat template, than {run}.",
            hint="Serve it separately.",
        )


def _assets(run: Path, modality: str) -> dict[str, str]:
    """The digests of what stands beside a backbone's weights."""
    folder = _folder(run) / "assets" / modality
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): digest_of(file) for file in files}
