"""What a packaged backbone, its distribution and its module are called."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmft_core import BackboneSpec, Component, Registry, resolve
from mmft_core.errors import ConfigError
from mmft_publish.packaged import PackagedBackbone

_NAME = re.compile(r"[a-z]([a-z0-9._-]*[a-z0-9])?")


@dataclass(frozen=True)
class Names:
    """The names of a package.

    Attributes:
        plugin: of the entry point; what the user called it.
        backbones: by modality.
    """

    plugin: str
    backbones: Mapping[str, str]

    @property
    def distribution(self) -> str:
        """The distribution's name, set apart from packages that have nothing to do with mmft."""
        return f"mmft-{self.module.removeprefix('mmft_').replace('_', '-')}"

    @property
    def module(self) -> str:
        return f"mmft_{re.sub(r'[._-]+', '_', self.plugin.removeprefix('mmft-'))}"


def choose_names(name: str, modalities: Collection[str], registry: Registry) -> Names:
    """Name the backbones of a package; of several, each has its modality in its name.

    Raises:
        ConfigError: the name is not valid, or something else has it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"--name '{name}' is not a valid name for a backbone.",
            hint="It takes lower-case letters, digits, '.', '-' and '_', and begins with a letter.",
        )
    several = len(modalities) > 1
    names = Names(name, {m: f"{name}-{m}" if several else name for m in modalities})
    # A package that is made anew may have been installed before.
    others = [c for c in registry if c.distribution != names.distribution]
    for other in others:
        if other.kind == "backbone" and other.name in names.backbones.values():
            raise ConfigError(
                f"There is a backbone named '{other.name}' already, of {other.distribution}.",
                hint="Give another --name.",
            )
        if other.plugin == name:
            raise ConfigError(
                f"There is a plugin named '{name}' already, {other.distribution}.",
                hint="Give another --name.",
            )
    if not _is_installed(names.distribution) and importlib.util.find_spec(names.module):
        raise ConfigError(
            f"--name '{name}' would make a package {names.module}, and there is one already.",
            hint="Give another --name.",
        )
    return names


def origin(component: Component[BackboneSpec], registry: Registry) -> Component[BackboneSpec]:
    """The component whose code a backbone runs; for one that is from a package itself, its base."""
    if not component.spec.build.endswith(".build"):
        return component
    owner = getattr(resolve(component.spec.build), "__self__", None)
    return (
        registry.get(BackboneSpec, owner.facts["base"])
        if isinstance(owner, PackagedBackbone)
        else component
    )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
