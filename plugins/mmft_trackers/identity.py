"""By what name, and in what group, a run is known outside its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

_DEEPEST = 3
"""Folders between a sweep and the fold of one of its trials: trials/0003/fold-2."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells a run from others.

    Attributes:
        path: the run directory.
        name: "photos", or "photos/trials/0003/fold-2" for a part of something larger.
        whole: the folder of the sweep or cross-validation that it is part of.
        store: the folder that holds the run, or what it is part of: where local stores are kept.
    """

    path: Path
    name: str
    whole: Path | None
    store: Path

    @property
    def group(self) -> str | None:
        """The name of what it is part of."""
        return None if self.whole is None else self.whole.name

    @classmethod
    def of(cls, run: Path) -> Self:
        """Find out from the folders around a run directory."""
        path = run.absolute()
        above = [p for p in list(path.parents)[:_DEEPEST] if _is_whole(p)]
        whole = above[-1] if above else path
        return cls(
            path=path,
            name=path.relative_to(whole.parent).as_posix(),
            whole=whole if above else None,
            store=whole.parent,
        )


def _is_whole(folder: Path) -> bool:
    """Whether runs are parts of what a folder holds: a sweep or a cross-validation."""
    return (folder / "sweep.toml").is_file() or (folder / "config.toml").is_file()
