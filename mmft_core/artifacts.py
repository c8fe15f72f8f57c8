"""The model of a finished run: written, and loaded again for `eval` and `predict`.

`model/` holds `model.json` (which components with which options, and what is known of the data),
`model.safetensors` (the whole task's weights) and `assets/MODALITY/` (what a backbone needs
beside them, such as a tokenizer). Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

import mmft_core
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    DatasetInfo,
    Processor,
    Task,
    TaskContext,
)
from mmft_core.errors import MmftError, RunDirectoryError
from mmft_core.files import replacing_folder
from mmft_core.options import convert
from mmft_core.plan import Plan
from mmft_core.registry import Component, Registry
from mmft_core.specs import TaskSpec
from mmft_core.weights import WeightsRequest

FORMAT = 1
_MODEL, _WEIGHTS, _ASSETS = "model.json", "model.safetensors", "assets"


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready to predict."""

    task: Task
    component: Component[TaskSpec]
    info: DatasetInfo

    @property
    def processors(self) -> dict[str, Processor]:
        return self.task.processors


def save(folder: Path, task: Task, plan: Plan, info: DatasetInfo) -> None:
    """Write a model, as a whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "mmft": mmft_core.__version__,
        "task": {"name": plan.task.component.qualified, "options": asdict(plan.task.options)},
        "backbones": {
            modality: {"name": part.component.qualified, "options": asdict(part.options)}
            for modality, part in plan.backbones.items()
        },
        "info": asdict(info),
    }
    with replacing_folder(folder) as temporary:
        (temporary / _MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        save_model(task, str(temporary / _WEIGHTS))
        for modality in task.backbones:
            assets = temporary / _ASSETS / modality
            assets.mkdir(parents=True)
            task.backbone(modality).save_assets(assets)


def load(
    folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Load a model, given its folder or its run's.

    Args:
        settings: options of the task that replace the run's, as {"task": {"num_beams": 4}}.

    Raises:
        ConfigError: a setting is wrong.
        RunDirectoryError: there is none, or it is damaged.
        UnknownComponentError: a plugin that it was made with is not installed.
    """
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if not (folder / _MODEL).is_file():
        raise RunDirectoryError(
            f"There is no finished model in {folder}.",
            hint="Give the folder of a run that has ended; an interrupted one goes on with "
            "`mmft run --resume`.",
        )
    try:
        content = json.loads((folder / _MODEL).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, this mmft reads {FORMAT}")
        info = msgspec.convert(content["info"], DatasetInfo)
        component = registry.task(content["task"]["name"])
        backbones = {
            modality: _rebuild(registry, modality, part, info, folder)
            for modality, part in content["backbones"].items()
        }
        given = {**content["task"]["options"], **(settings or {}).get("task", {})}
        options = convert(given, component.options_type(), "task")
        task = component.build(options, TaskContext(backbones=backbones, info=info))
        load_model(task, folder / _WEIGHTS)
    except MmftError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise RunDirectoryError(f"The model in {folder} cannot be loaded: {error}.") from error
    return LoadedModel(task=task.eval(), component=component, info=info)


def _rebuild(
    registry: Registry, modality: str, part: Mapping[str, Any], info: DatasetInfo, folder: Path
) -> Backbone:
    component = registry.backbone(part["name"])
    options = convert(part["options"], component.options_type(), f"backbone.{modality}")
    context = BackboneContext(
        weights=WeightsRequest("run"), info=info, assets=folder / _ASSETS / modality
    )
    backbone = component.build(options, context)
    assert isinstance(backbone, Backbone)
    return backbone
