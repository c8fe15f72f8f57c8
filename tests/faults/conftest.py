"""A run that nobody disturbed, one that was killed, and disks that are small or read-only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.processes import Cli, new_run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("whole")
    process = Cli(new_run(folder / "run"), folder / "log")
    assert process.wait() == 0, process.text
    return folder / "run"


@pytest.fixture(scope="session")
def whole(whole_run: Path) -> bytes:
    """The weights that it ends with."""
    return weights(whole_run)


@pytest.fixture(scope="session")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a run, killed after some steps."""
    folder = tmp_path_factory.mktemp("killed")
    process = Cli(new_run(folder / "run"), folder / "log")
    process.wait_for(folder / "run" / "checkpoints" / "step-7")
    assert process.kill() == -9, process.text
    return folder / "run"


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    return shutil.copytree(killed_once, tmp_path / "run")


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Cli]:
    """Start the command line in a process of its own."""
    count = 0

    def start(*arguments: str | Path, first: Callable[[], None] | None = None) -> Cli:
        nonlocal count
        count += 1
        return Cli(arguments, tmp_path / f"log-{count}", first)

    return start


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk with the given options, or mount it anew with others."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        again = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("disks cannot be mounted here")
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def refused(process: Cli, *words: str) -> None:
    """Check that a call ended in one sentence with these words."""
    code = process.wait()
    assert code == 2, f"{code}: {process.text}"
    assert "Traceback" not in process.text, process.text
    assert process.text.count("error: ") == 1, process.text
    for part in words:
        assert part in process.text, process.text


def resumes(process: Cli, run: Path, whole: bytes) -> str:
    """Check that a run goes on to the same end; return what it says."""
    assert process.wait() == 0, process.text
    assert weights(run) == whole
    return process.text
