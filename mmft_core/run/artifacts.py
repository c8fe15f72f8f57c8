"""The model of a finished run: saved, and loaded again for `eval` and `predict`.

`model/` holds `model.json` (components with their options, and information about the data),
`model.safetensors` (the weights of the whole task) and `assets/MODALITY/` (what a backbone needs
besides weights, such as a tokenizer; `assets/_task/` for the task). If a backbone's own weights are
not saved (see `mmft_core.engine.kept_weights`), `model.json` names their source and digest, and
`adapter/MODALITY/` holds the adapters in PEFT's format. Nothing is pickled. A folder made by
`mmft publish` holds the same files beside its card, without `model/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from safetensors import SafetensorError, safe_open

import mmft_core
from mmft_core.config.options import as_written, convert, renamed
from mmft_core.config.plan import Plan, PlanPart
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    DatasetInfo,
    Processor,
    Task,
    TaskContext,
)
from mmft_core.engine import adapter_files, kept_weights, lora
from mmft_core.errors import MmftError, RunDirectoryError, UnknownComponentError, with_install_hint
from mmft_core.registry import Component, Registry
from mmft_core.run.build import build_component, rebuild, save_assets, task_assets
from mmft_core.run.validation import (
    refuse_export,
    refuse_folds,
    refuse_missing,
    refuse_without_model,
)
from mmft_core.specs import BackboneSpec, Spec, TaskSpec
from mmft_core.utils.digests import check_digests, digest_of, write_digests
from mmft_core.utils.files import replacing_folder
from mmft_core.utils.memory_errors import out_of_memory
from mmft_core.weights import LoadedWeights, WeightsRequest, check_finite
from mmft_core.weights.undrawn import Undrawn

FORMAT = 1
S = TypeVar("S", bound=Spec)
_MODEL, _WEIGHTS = "model.json", "model.safetensors"
_ASSETS, _ADAPTER = "assets", "adapter"


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready to predict.

    Attributes:
        parts: its backbones with their options, by modality.
        precision: the precision of its evaluation, as in `engine.precision`.
        exported: whether it is an export: another runtime computes it, on the CPU and in fp32.
    """

    task: Task
    component: Component[TaskSpec]
    info: DatasetInfo
    parts: Mapping[str, PlanPart[BackboneSpec]]
    precision: str = "auto"
    exported: bool = False

    @property
    def processors(self) -> dict[str, Processor]:
        return self.task.processors


def save(folder: Path, task: Task, plan: Plan, info: DatasetInfo) -> None:
    """Save a model, completely or not at all.

    Adapters are merged into the task's weights first, unless these are not saved.

    Raises:
        StorageError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "mmft": mmft_core.__version__,
        "task": {
            "name": plan.task.component.qualified,
            "options": asdict(plan.task.options),
            "package": _package(plan.task.component),
        },
        "backbones": {
            modality: {
                "name": part.component.qualified,
                "options": asdict(part.options),
                "package": _package(part.component),
                "loaded": asdict(task.backbone(modality).loaded),
                **_beside(task.backbone(modality).loaded, folder),
            }
            for modality, part in plan.backbones.items()
        },
        "info": asdict(info),
        "precision": plan.engine.precision,
    }
    with replacing_folder(folder) as temporary:
        (temporary / _MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for modality in task.backbones:
            backbone = task.backbone(modality)
            if not backbone.loaded.digest:
                lora.merge(backbone)
            elif lora.has_adapters(backbone):
                adapter_files.save(backbone, temporary / _ADAPTER / modality)
        kept_weights.write(task, temporary / _WEIGHTS, adapters=False)
        save_assets(task, temporary / _ASSETS)
        write_digests(temporary)


def _package(component: Component[Any]) -> str:
    """The package to install for a component."""
    return f"{component.distribution}=={component.version}"


def _component(registry: Registry, spec: type[S], saved: Mapping[str, Any]) -> Component[S]:
    """Raises:
    UnknownComponentError: it is not installed; says what to install.
    """
    try:
        return registry.get(spec, saved["name"])
    except UnknownComponentError as error:
        package = saved.get("package")
        packages = [package] if isinstance(package, str) else []
        raise with_install_hint(error, "model", packages) from None


def _beside(loaded: LoadedWeights, folder: Path) -> dict[str, str]:
    """The path of unsaved base weights relative to the model, so that both can be moved."""
    if not loaded.digest or not Path(loaded.source).exists():
        return {}
    return {"beside": os.path.relpath(loaded.source, folder.resolve())}


def fingerprint(folder: Path) -> str:
    """The digest of a model's files, given its folder or its run's."""
    folder = folder / "model" if (folder / "model").is_dir() else folder
    total, parts = hashlib.sha256(), (_MODEL, _WEIGHTS, _ASSETS, _ADAPTER)
    own = [f for f in folder.rglob("*") if f.relative_to(folder).parts[0] in parts]
    for file in sorted(f for f in own if f.is_file()):
        total.update(f"{file.relative_to(folder).as_posix()} {digest_of(file)}\n".encode())
    return total.hexdigest()


def load(
    folder: Path,
    registry: Registry,
    settings: Mapping[str, Any] | None = None,
    *,
    apart: bool = False,
) -> LoadedModel:
    """Load a model, given its folder or its run's.

    Args:
        settings: options of the task that replace the run's, such as {"task": {"num_beams": 4}}.
        apart: whether adapters that were saved without their base stay unmerged.

    Raises:
        ConfigError: a setting is wrong.
        RunDirectoryError: the folder holds no model, or the model is damaged.
        WeightsError: base weights that are not saved with it are not available, or have changed.
        UnknownComponentError: a plugin that it was made with is not installed.
    """
    refuse_missing(folder)
    refuse_export(folder)
    refuse_folds(folder)
    refuse_without_model(folder)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    with damage(folder):
        check_digests(folder)
        model = _build(folder, registry, settings, empty=False, apart=apart)
        kept_weights.read(model.task, folder / _WEIGHTS, adapters=False)
        check_finite(model.task)
    return model


def check_weights(folder: Path) -> None:
    """Check that a model's weights exist and are undamaged.

    Raises:
        RunDirectoryError: they are missing, truncated or changed.
    """
    with damage(folder), safe_open(folder / _WEIGHTS, "pt"):
        check_digests(folder, _WEIGHTS)


def load_empty(
    folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Load a model without weights, which are loaded later or replaced by another runtime.

    It takes no memory if torch's default device is "meta".

    Raises:
        As `load`, except WeightsError.
    """
    with damage(folder):
        return _build(folder, registry, settings, empty=True)


@contextlib.contextmanager
def damage(folder: Path) -> Iterator[None]:
    """Raises:
    RunDirectoryError: something is not as `save` wrote it.
    """
    try:
        yield
    except MmftError:
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        if out_of_memory(error):
            raise
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise RunDirectoryError(
            f"The model in {folder} cannot be loaded: {reason}.",
            hint="A file of it is damaged, or was changed by hand: take it from a copy, or repeat "
            "the run with `mmft run -c CONFIG.toml`.",
        ) from error


def _build(
    folder: Path,
    registry: Registry,
    settings: Mapping[str, Any] | None,
    *,
    empty: bool,
    apart: bool = False,
) -> LoadedModel:
    """Build what `model.json` names.

    Args:
        empty: whether to skip adapters and weights that are not saved with the model.
        apart: whether adapters stay unmerged.
    """
    content = json.loads((folder / _MODEL).read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']}, this mmft reads {FORMAT}")
    info = msgspec.convert(content["info"], DatasetInfo)
    component = _component(registry, TaskSpec, content["task"])
    saved, needs = content["backbones"], component.spec.needs_of
    parts = {m: _part(registry, m, part) for m, part in saved.items()}
    backbones = {
        m: _rebuild(m, part, saved[m], info, needs(m), folder, empty=empty, apart=apart)
        for m, part in parts.items()
    }
    options_type = component.options_type()
    with as_written():
        saved_options = renamed(content["task"]["options"], options_type, "task")
    changed = renamed((settings or {}).get("task", {}), options_type, "task")
    options = convert({**saved_options, **changed}, options_type, "task")
    context = TaskContext(backbones=backbones, info=info, assets=task_assets(folder / _ASSETS))
    task = build_component(component, options, context, Task)
    return LoadedModel(
        task=task.eval(),
        component=component,
        info=info,
        parts=parts,
        precision=content.get("precision", "auto"),
    )


def _part(registry: Registry, modality: str, saved: Mapping[str, Any]) -> PlanPart[BackboneSpec]:
    component = _component(registry, BackboneSpec, saved)
    # It names folders and modules, so not just any text is accepted.
    if modality != component.spec.modality:
        raise ValueError(f"'{modality[:80]}' is not the modality of {component.name}")
    with as_written():
        options = convert(saved["options"], component.options_type(), f"backbone.{modality}")
    return PlanPart(component=component, options=options)


def _rebuild(
    modality: str,
    part: PlanPart[BackboneSpec],
    saved: Mapping[str, Any],
    info: DatasetInfo,
    needs: tuple[str, ...],
    folder: Path,
    *,
    empty: bool,
    apart: bool,
) -> Backbone:
    told = LoadedWeights(**(saved.get("loaded") or {"source": "run"}))
    beside = saved.get("beside")
    if beside and (folder / beside).exists():
        told = replace(told, source=str((folder / beside).resolve()))
    # Weights that are saved with the model are all read, so none are drawn; a base that is fetched
    # again is built as usual.
    with contextlib.nullcontext() if told.digest else Undrawn():
        backbone = rebuild(
            part,
            BackboneContext(weights=WeightsRequest("run", modality), info=info, needs=needs),
            # Without a digest there is nothing to fetch again.
            replace(told, digest="") if empty else told,
            folder / _ASSETS / modality,
        )
    adapter = folder / _ADAPTER / modality
    if adapter.is_dir() and not empty:
        adapter_files.load(backbone, adapter)
        if not (backbone.quantized or apart):
            lora.merge(backbone)
    return backbone
