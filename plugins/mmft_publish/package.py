"""From a finished run to a pip package that registers its backbones."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w
from safetensors.torch import save_model
from torch import nn

from mmft_core import BackboneSpec, Component, Registry
from mmft_core.errors import ConfigError, IncompatibleError
from mmft_core.run import LoadedModel, artifacts
from mmft_core.utils import ensure_new, replacing_folder, write_digests
from mmft_publish import project
from mmft_publish.names import Names, choose_names, origin
from mmft_publish.packaged import FACTS, FOLDER, FORMAT


@dataclass(frozen=True, kw_only=True)
class PackageRequest:
    """What the user decides about a package.

    Attributes:
        name: of its backbone; of several, what their names begin with.
        licence: as SPDX has it; empty for none.
        modalities: whose backbones go into it; empty for those of all.
    """

    name: str
    version: str = "0.1.0"
    licence: str = ""
    modalities: Collection[str] = ()


def package(run: Path, output: Path, request: PackageRequest, registry: Registry) -> Names:
    """Write a package of a run's backbones, as a whole or not at all.

    Adapters that the run kept apart from their base are merged into it.

    Raises:
        ConfigError: a name or a modality is wrong.
        IncompatibleError: weights are quantized, so they cannot be passed on.
        RunDirectoryError: there is no finished run, or something is in the way.
        WeightsError: base weights that the run does not keep are no longer available.
        StorageError: it cannot be written.
    """
    ensure_new(output)
    # Names first, because mistakes in them show at once, and loading a model takes time.
    choose_names(request.name, request.modalities, registry)
    model = artifacts.load(run, registry)
    modalities = _chosen(request.modalities, model)
    names = choose_names(request.name, modalities, registry)
    origins = {m: origin(model.parts[m].component, registry) for m in modalities}
    facts = {m: _facts(m, origins[m], model, names, request.version) for m in modalities}
    about = project.pyproject(
        names, request.version, request.licence, facts, list(origins.values())
    )
    with replacing_folder(output) as folder:
        module, tests = folder / names.module, folder / "tests"
        for made in (module / FOLDER, tests):
            made.mkdir(parents=True)
        _write_model(module / FOLDER, model, modalities)
        texts = {
            module / FOLDER / FACTS: _json({"format": FORMAT, "backbones": facts}),
            module / "__init__.py": project.module_text(names),
            tests / "test_conformance.py": project.conformance_text(names),
            folder / "README.md": project.readme(
                names, facts, model.component.name, request.licence
            ),
            folder / "pyproject.toml": tomli_w.dumps(about),
        }
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    return names


def _chosen(wanted: Collection[str], model: LoadedModel) -> list[str]:
    """The modalities whose backbones are packaged."""
    for modality in wanted:
        if modality not in model.parts:
            raise ConfigError(
                f"--modality {modality}: the run has no such backbone.",
                hint=f"It has {', '.join(model.parts)}.",
            )
    chosen = [m for m in model.parts if m in wanted or not wanted]
    for modality in chosen:
        if model.task.backbone(modality).quantized:
            raise IncompatibleError(
                f"The weights of the {modality} backbone are quantized and not kept with the run, "
                "so a package cannot contain them.",
                hint="Repeat the run without quantization, or share its directory: the adapters in "
                "it work for anyone who has the base weights.",
            )
    return chosen


def _facts(
    modality: str,
    base: Component[BackboneSpec],
    model: LoadedModel,
    names: Names,
    version: str,
) -> dict[str, Any]:
    """What `mmft_publish.packaged` needs to know of a backbone."""
    data = Path(model.info.name).name  # Without its folder, which is private.
    summary = f"{base.name}, fine-tuned for {model.component.name} on {data}"
    return {
        "name": names.backbones[modality],
        "summary": summary,
        "detail": f"{names.distribution} {version}: {summary}",
        "base": base.qualified,
        "options": asdict(model.parts[modality].options),
        "provides": list(base.spec.provides),
        "defaults": dict(base.spec.defaults),
        "scratch": dict(base.spec.from_scratch),
    }


def _write_model(folder: Path, model: LoadedModel, modalities: Collection[str]) -> None:
    """Weights and assets as in the model of a run, without the task's head."""
    backbones: dict[str, nn.Module] = {m: model.task.backbone(m) for m in modalities}
    whole = nn.ModuleDict({"backbones": nn.ModuleDict(backbones)})
    save_model(whole, str(folder / "model.safetensors"))
    for modality in modalities:
        assets = folder / "assets" / modality
        assets.mkdir(parents=True)
        model.task.backbone(modality).save_assets(assets)
    write_digests(folder)


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
