"""Backbones of a run, as a pip package of their own offers them.

`mmft package` writes such a package. Its module is no more than this:

    image = PackagedBackbone(__name__, "image")

    @hookimpl
    def register_backbone():
        return [image.spec()]

The code of the backbone is not copied, but named: by the component that it was in its run.
Its folder `model/` holds `backbones.json` (by modality: the name, the component, its options in
the run), `model.safetensors` and `assets/MODALITY/`, as the model of a run does.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, fields, make_dataclass, replace
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from mmft_core import BackboneSpec, Component, discover, read_by
from mmft_core.config import as_written, convert
from mmft_core.errors import PluginError

if TYPE_CHECKING:
    from mmft_core.contracts import Backbone, BackboneContext

FORMAT = 1
FACTS, FOLDER = "backbones.json", "model"


@dataclass(frozen=True)
class PackagedBackbone:
    """The fine-tuned backbone of one modality.

    Attributes:
        module: the package's, in which it is a variable named by `variable(modality)`.
    """

    module: str
    modality: str

    @property
    def folder(self) -> Path:
        """The folder of weights, assets and facts."""
        return Path(str(files(self.module))) / FOLDER

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `backbones.json` says of it.

        Raises:
            PluginError: it is missing, damaged, or of another format.
        """
        file = self.folder / FACTS
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']}, this mmft reads {FORMAT}")
            found: dict[str, Any] = content["backbones"][self.modality]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PluginError(f"{file} cannot be read: {error}.") from None
        return found

    def spec(self) -> BackboneSpec:
        """What the package declares of it."""
        facts, path = self.facts, f"{self.module}:{variable(self.modality)}"
        return BackboneSpec(
            name=facts["name"],
            summary=facts["summary"],
            modalities=read_by([self.modality]),
            provides=tuple(facts["provides"]),
            build=f"{path}.build",
            options=f"{path}.options",
            defaults=facts["defaults"],
            from_scratch=facts["scratch"],
        )

    @cached_property
    def base(self) -> Component[BackboneSpec]:
        """The component that it was in its run.

        Raises:
            UnknownComponentError: the plugin that offers it is not installed.
        """
        return discover().get(BackboneSpec, self.facts["base"])

    @cached_property
    def options(self) -> type[Any]:
        """The options of its component, with those of the run as defaults."""
        original = self.base.options_type()
        with as_written():
            own = convert(self.facts["options"], original, f"backbone.{self.modality}")
        hints = get_type_hints(original, include_extras=True)
        defaults = {f.name: partial(copy.deepcopy, getattr(own, f.name)) for f in fields(original)}
        return make_dataclass(
            original.__name__,
            [(n, hints[n], field(default_factory=make)) for n, make in defaults.items()],
            namespace={"__doc__": original.__doc__},
            frozen=True,
            kw_only=True,
        )

    def build(self, options: Any, context: BackboneContext) -> Backbone:
        """Build it, with its own weights if published ones are asked for.

        Raises:
            WeightsError: the requested weights are not available, or do not fit.
        """
        from mmft_core.weights import WeightsRequest

        own = context.weights.choice in ("auto", "pretrained")
        if own:
            assets = self.folder / "assets" / self.modality
            request = WeightsRequest(str(self.folder), self.modality)
            context = replace(context, weights=request, assets=assets if assets.is_dir() else None)
        # Worker processes can only receive classes that modules define, such as the original.
        original = self.base.options_type()
        plain = original(**{f.name: getattr(options, f.name) for f in fields(original)})
        backbone: Backbone = self.base.build(plain, context)
        if own:
            detail = f"{self.facts['detail']} {backbone.loaded.detail}".strip()
            backbone.loaded = replace(backbone.loaded, source="published", detail=detail)
        return backbone


def variable(modality: str) -> str:
    """The name of a modality's backbone in the package's module."""
    return "".join(c if c.isalnum() else "_" for c in modality)
