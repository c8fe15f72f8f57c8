"""A place to install pretended distributions into, and small registries."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from mmft_core import Registry, discover

# Other processes share the machine: how long one example takes says nothing.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

ONE_BACKBONE = """
    from mmft_core import BackboneSpec, hookimpl

    @hookimpl
    def register_backbone():
        return [BackboneSpec(name="{name}", summary="s", modality="image", build="a:b")]
"""


class Site:
    """A folder on sys.path with modules and dist-info folders, as pip leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def install(
        self,
        distribution: str,
        points: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        version: str = "1.0",
        metadata: str = "",
        **modules: str,
    ) -> None:
        """Write modules (source by name) and a distribution that declares entry points.

        Without `points`, every module is declared under its own name.
        """
        for name, source in modules.items():
            (self.root / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        pairs = list(points.items() if isinstance(points, Mapping) else points)
        pairs = pairs or [(name, name) for name in modules]
        info = self.root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(head + textwrap.dedent(metadata), encoding="utf-8")
        lines = "\n".join(f"{name} = {value}" for name, value in pairs)
        (info / "entry_points.txt").write_text(f"[mmft]\n{lines}\n", encoding="utf-8")

    def points(self) -> list[importlib.metadata.EntryPoint]:
        found = importlib.metadata.distributions(path=[str(self.root)])
        return [point for dist in found for point in dist.entry_points.select(group="mmft")]

    def discover(self, *, strict: bool = False) -> Registry:
        """Discover what is installed here, and here alone."""
        return discover(self.points(), strict=strict)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    yield Site(root)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(root)):
            del sys.modules[name]


@pytest.fixture
def one_backbone() -> str:
    """The source of a plugin of one backbone; `.format(name=...)` names it."""
    return ONE_BACKBONE
