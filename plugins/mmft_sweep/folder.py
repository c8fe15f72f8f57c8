"""The folder of a sweep: what it was started with, and where its files are."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

from filelock import FileLock

from mmft_core.config import Tree, dump_toml, flatten, portable, read_places, same_place
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_core.run import RunDirectory
from mmft_core.utils import write_text

_NONE: Mapping[str, str] = MappingProxyType({})

Pruner = Literal["none", "median", "hyperband"]
Keep = Literal["all", "best"]


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """The settings of a sweep.

    Attributes:
        base: the settings that all trials share.
        vary: the space, as it was written, by setting.
        trials: how many there are to be in all: the largest number that was asked for.
        pruner: what stops hopeless trials.
        keep: whose models are kept.
    """

    base: Tree
    vary: dict[str, str]
    trials: int = 20
    pruner: Pruner = "median"
    keep: Keep = "best"

    def __post_init__(self) -> None:
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise ConfigError(f"trials = {self.trials!r} is not valid: expected int >= 1.")
        for name, allowed in (("pruner", Pruner), ("keep", Keep)):
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"{name} = {getattr(self, name)!r} is not valid: "
                    f"expected {', '.join(get_args(allowed))}."
                )

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Self:
        """Raises:
        ConfigError: a table or a value is missing or wrong.
        """
        known = {"base", "vary", "trials", "pruner", "keep"}
        if not {"base", "vary"} <= tree.keys() <= known:
            raise ConfigError("It does not belong to a sweep: it needs [base] and [vary].")
        return cls(**tree)

    def tree(self) -> Tree:
        own = {"trials": self.trials, "pruner": self.pruner, "keep": self.keep}
        return {**own, "vary": self.vary, "base": self.base}


@dataclass(frozen=True)
class SweepFolder:
    """Paths of a sweep's files."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "sweep.toml"

    @property
    def study(self) -> Path:
        """Optuna's own record, an SQLite data base."""
        return self.path / "study.db"

    @property
    def lock(self) -> Path:
        """Held by the process that changes the study, for moments."""
        return self.path / "study.lock"

    @property
    def record(self) -> Path:
        return self.path / "trials.json"

    @property
    def best(self) -> Path:
        return self.path / "best.toml"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def begun(self) -> list[Path]:
        """The run directory of one trial that was begun, if any was. All have the same data."""
        runs = (file.parent for file in sorted(self.path.glob("trials/**/samples.parquet")))
        return list(islice(runs, 1))

    def trial_lock(self, number: int) -> Path:
        """Held by the process that runs the trial, as long as it lives."""
        return self.path / "locks" / f"{number:04d}.lock"

    def log(self, worker: int) -> Path:
        return self.path / "workers" / f"{worker}.log"

    def exists(self) -> bool:
        return self.settings.is_file()

    def ensure_usable(self) -> None:
        """Check that a new sweep may be started here.

        Raises:
            RunDirectoryError: there is something else.
            StorageError: it may not be written.
        """
        if not self.path.is_dir() or {p.name for p in self.path.iterdir()} != {self.lock.name}:
            RunDirectory(self.path).ensure_usable()

    def read(self) -> SweepSettings:
        """Raises:
        RunDirectoryError: there is no sweep here.
        """
        if not self.exists():
            raise RunDirectoryError(
                f"{self.path} holds no sweep: it has no {self.settings.name}.",
                hint="Give the folder that `mmft sweep` made.",
            )
        try:
            return SweepSettings.read(read_places(self.settings))
        except ConfigError as error:
            raise RunDirectoryError(f"{self.settings} cannot be used: {error}") from None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other worker changes the study or a file that all of them write."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.lock):
            yield

    def join(self, settings: SweepSettings, paths: Mapping[str, str] = _NONE) -> SweepSettings:
        """Write the settings of a new sweep, or what changes of the one that is here.

        A smaller number of trials does not reduce what was asked for before.

        Args:
            paths: settings of the base that are paths; where they lead may have changed.

        Raises:
            RunDirectoryError: another sweep was started here in the meantime.
            StorageError: they cannot be written.
        """
        with self.alone():
            stored = self.read() if self.exists() else None
            if stored is not None:
                self.check_same(settings, but=paths)
                settings = replace(settings, trials=max(stored.trials, settings.trials))
            if settings != stored:
                own = {f"base.{key}": value for key, value in paths.items()}
                write_text(self.settings, dump_toml(portable(settings.tree(), own, self.path)))
        return settings

    def check_same(self, settings: SweepSettings, but: Collection[str] = ()) -> None:
        """Check that the sweep that is here is the one that is to be joined.

        Args:
            but: settings that are not compared.

        Raises:
            RunDirectoryError: it is another; the message says which setting differs.
        """
        stored = self.read()
        pairs = (
            ("varies over", stored.vary, settings.vary),
            ("is", flatten(stored.base), flatten(settings.base)),
        )
        for verb, old, new in pairs:
            for key in (k for k in {**old, **new} if not _same(old.get(k), new.get(k))):
                if key in but:
                    continue
                was, now = (repr(side[key]) if key in side else "not given" for side in (old, new))
                raise RunDirectoryError(
                    f"The folder {self.path} holds another sweep: "
                    f"{key} {verb} {was} there and {now} on the command line.",
                    hint=f"Give --output a new folder, or resume that one: "
                    f"mmft sweep --resume {self.path}",
                )


def _same(one: Any, other: Any) -> bool:
    """Whether two settings are the same, where a path may be spelled in two ways."""
    paths = isinstance(one, str) and isinstance(other, str)
    return one == other or (paths and same_place(one, other))
