"""The run directory: the paths of a run's files, and checks before writing them."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from mmft_core.config.places import PLACES_TABLE, places, portable, read_places, same_place
from mmft_core.config.plan import Plan
from mmft_core.config.trees import Tree, dump_toml, flatten, merge, read_toml
from mmft_core.distributed import comm
from mmft_core.distributed.failure_propagation import fail_together
from mmft_core.errors import RunDirectoryError, StopTrainingError, StorageError, first_line
from mmft_core.registry import Registry
from mmft_core.run.validation import is_model, refuse_folds, refuse_missing, refuse_model
from mmft_core.utils.files import (
    clear_temporaries,
    printable,
    read_record,
    storage_errors,
    temporaries,
    unreadable,
    write_json,
    write_text,
)

_TOLD = {"task", "backbones", "dataset", "monitor", "metrics", "timings", "environment"}
"""What `results.json` must hold."""


class RunDirectory:
    """Paths of a run's files.

    Attributes:
        data: recorded before training: the monitored metric, sizes of splits, skipped samples.
        samples: which samples each split holds, with their fingerprints; older runs have none.
        assets: what backbones need besides weights to be rebuilt on resuming.
        lock: held by the process that trains, as long as it lives.
        failure: why a run failed; does not exist if it was interrupted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.plugins = path / "config.toml", path / "plugins.json"
        self.data, self.samples = path / "data.json", path / "samples.parquet"
        self.metrics, self.results = path / "metrics.jsonl", path / "results.json"
        self.checkpoints, self.assets = path / "checkpoints", path / "checkpoints" / "assets"
        self.model = path / "model"
        self.lock, self.failure = path / "run.lock", path / "failure.json"
        self._quoted = shlex.quote(str(path))  # For a command line.

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run while it is trained, and record the reason if that fails.

        Of processes that train together, the main one holds the lock for all.

        Raises:
            RunDirectoryError: another process is training it.
            StorageError: the folder cannot be written.
        """
        if not comm.is_main():
            yield
            return
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self._acquire()
        try:
            with fail_together():
                yield
        except Exception as error:
            state = "stopped" if isinstance(error, StopTrainingError) else "failed"
            with contextlib.suppress(StorageError):
                write_json(self.failure, {"state": state, "reason": first_line(error)})
            raise
        finally:
            lock.release()

    def _acquire(self) -> FileLock:
        """Take the lock.

        Its file is never removed. Otherwise a process could hold a lock on a file that others no
        longer see, and these a lock on a new one.
        """
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            raise RunDirectoryError(
                f"Another process is training the run in {self.path}.", hint="Wait for it to end."
            ) from None
        self.failure.unlink(missing_ok=True)
        return lock

    def ensure_usable(self) -> None:
        """Check that a new run may be written here, before anything expensive happens.

        Files of a process that was killed before its run could be resumed are no obstacle.

        Raises:
            RunDirectoryError: the folder is in use or not empty.
            StorageError: the folder cannot be written.
        """
        if not comm.is_main():
            return
        if self.path.is_file():
            raise RunDirectoryError(f"{self.path} is a file.", hint="Give --output a new folder.")
        if printable(str(self.path)) != str(self.path):  # safetensors would not open its files.
            raise RunDirectoryError(
                f"The name {printable(str(self.path))} is not UTF-8.", hint="Give another --output."
            )
        if self._in_use():
            unfinished = self.config.exists() and not self.results.exists()
            advice = (
                f"Continue it with --resume {self._quoted}, or give another --output."
                if unfinished and not is_model(self.path)
                else "Give --output a new or empty folder."
            )
            raise RunDirectoryError(f"The folder {self.path} is not empty.", hint=advice)
        with (
            storage_errors(self.path),
            tempfile.TemporaryDirectory(dir=_existing(self.path), prefix=".mmft."),
        ):
            pass

    def _in_use(self) -> bool:
        leftovers = {self.lock, self.failure, *temporaries(self.path)}
        with storage_errors(self.path):
            return self.path.is_dir() and not leftovers.issuperset(self.path.iterdir())

    def already_finished(self) -> RunDirectoryError:
        """The error for resuming a run that is already finished."""
        return RunDirectoryError(
            f"The run in {self.path} is finished.",
            hint="To train its model further, start a new run with "
            f"--weights {self._quoted} on the same backbone.",
        )

    def ensure_space(self, needed_bytes: int) -> None:
        """Check that there is space for this many bytes.

        Raises:
            StorageError: the disk has less left.
        """
        free = shutil.disk_usage(_existing(self.path)).free
        if free < needed_bytes:
            raise StorageError(
                f"No space is left for {self.path}: the run needs up to "
                f"{needed_bytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free.",
                hint="Free some, or choose another --output.",
            )

    def create(self, plan: Plan, plugins: list[dict[str, str]], data: Mapping[str, Any]) -> None:
        """Write the files that a run starts with.

        Raises:
            StorageError: it cannot be written.
        """
        if not comm.is_main():
            return
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        # First, because it makes the folder a run that can be resumed.
        self.write_config(plan)
        write_json(self.plugins, plugins)
        write_json(self.data, data)

    def write_config(self, plan: Plan) -> None:
        """Write the settings, with paths that are valid wherever the file is read.

        Raises:
            StorageError: they cannot be written.
        """
        write_text(self.config, dump_toml(portable(plan.tree(), places(plan), self.path)))

    def elsewhere(self, plan: Plan) -> bool:
        """Whether a plan's paths differ from those in the run's settings."""
        then = flatten(self.open())
        return any(
            key not in then or not same_place(str(then[key]), place)
            for key, place in places(plan).items()
        )

    def follow(self, plan: Plan) -> None:
        """Record where the files of a plan are now, if they or the run have been moved.

        Raises:
            StorageError: the settings cannot be written.
        """
        before = read_toml(self.config)
        others = {k: v for k, v in before.get(PLACES_TABLE, {}).items() if k not in places(plan)}
        now = merge({PLACES_TABLE: others}, portable(before, places(plan), self.path))
        if now != before:
            write_text(self.config, dump_toml(now))

    def clear(self) -> None:
        """Remove half-written files of a killed process; requires the lock."""
        for folder in (self.path, self.checkpoints) if comm.is_main() else ():
            clear_temporaries(folder)

    def open(self) -> Tree:
        """Read the configuration of an existing run.

        Raises:
            RunDirectoryError: the folder does not exist or is not a run directory.
        """
        refuse_missing(self.path)
        if not self.config.is_file():
            raise RunDirectoryError(
                f"{self.path} is not a run directory: it has no config.toml.",
                hint="Give the folder that `mmft run` made.",
            )
        return read_places(self.config)

    def read_data(self) -> dict[str, Any]:
        """What `create` recorded about the data.

        Raises:
            RunDirectoryError: the file is damaged.
        """
        content = read_record(self.data)
        kinds = {"samples": dict, "skipped": list, "weights": dict}
        if not all(isinstance(content.get(key), kind) for key, kind in kinds.items()):
            raise RunDirectoryError(f"{self.data} is damaged: its parts are missing or wrong.")
        return content

    def lacking(self, registry: Registry) -> list[str]:
        """The packages that are not installed, of the run's components: "mmft-flowers==1.0".

        Those of callbacks do not count, since only training needs them. Empty as well if the
        record of them is missing or damaged.
        """
        here = {(component.kind, component.qualified) for component in registry}
        try:
            recorded = msgspec.json.decode(self.plugins.read_bytes(), type=list[dict[str, str]])
            parts = (r for r in recorded if r["kind"] != "callback")
            gone = [r for r in parts if (r["kind"], f"{r['plugin']}/{r['name']}") not in here]
            return list(dict.fromkeys(f"{r['distribution']}=={r['version']}" for r in gone))
        except (OSError, KeyError, msgspec.DecodeError):
            return []

    def read_results(self) -> dict[str, Any]:
        """The results of a finished run.

        Raises:
            RunDirectoryError: it is not finished, or the file is damaged.
        """
        if not self.results.is_file():
            refuse_model(self.path)
            refuse_folds(self.path)
            raise RunDirectoryError(
                f"The run in {self.path} is not finished.",
                hint=f"Continue it with `mmft run --resume {self._quoted}`.",
            )
        content = read_record(self.results)
        if lacking := sorted(_TOLD - content.keys()):
            raise unreadable(self.results, f"it lacks '{lacking[0]}'")
        return content


def _existing(path: Path) -> Path:
    """The path, or its nearest existing parent."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def default_output(task: str, backbones: list[str]) -> Path:
    """A unique folder name: runs/image-cls-resnet50-20260131-154501."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = "-".join([task, *backbones, stamp])
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path
