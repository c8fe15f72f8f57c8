"""One place says how many CPUs there are, and torch takes no more threads than that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mmft_core
from mmft_core import cpus
from tests.faults.processes import forking

ROOT = Path(mmft_core.__file__).parents[1]


def tell(file: Path, pinned: bool, one: bool, environment: dict[str, str]) -> None:
    """Write how many CPUs there are, and how many of its three threads torch keeps."""
    import torch

    from mmft_core.config.engine_config import EngineConfig
    from mmft_core.engine.device import make_accelerator

    os.environ.pop("OMP_NUM_THREADS", None)
    os.environ.update(environment)
    if pinned:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(3)
    if one:
        cpus.available = lambda *_: 1
    make_accelerator(EngineConfig(device="cpu", precision="fp32"))
    file.write_text(f"{cpus.available()} {torch.get_num_threads()}")


def told(
    folder: Path, pinned: bool = False, one: bool = False, **environment: str
) -> tuple[int, int]:
    """What `tell` writes in a process of its own."""
    process = forking().Process(target=tell, args=(folder / "told", pinned, one, environment))
    process.start()
    process.join(120)
    found, threads = map(int, (folder / "told").read_text().split())
    return found, threads


def test_threads_stay_within_a_limit(tmp_path: Path) -> None:
    assert told(tmp_path, one=True) == (1, 1)


def test_a_number_of_threads_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    assert told(tmp_path, one=True, OMP_NUM_THREADS="3") == (1, 3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinities here")
def test_a_pinned_process_has_the_cpus_that_it_is_pinned_to(tmp_path: Path) -> None:
    assert told(tmp_path, pinned=True) == (1, 1)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/elsewhere", {"cpu.max": "100000 100000"}, 1),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        (
            "4:memory:/a\n2:cpu,cpuacct:/a\n0::/",
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        ("2:cpuset:/", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_quotas_of_cgroups(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, str],
    expected: int | None,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    told = {"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{k}": v for k, v in files.items()}
    for name, text in told.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert cpus.available(tmp_path) == (expected or 8)
    assert cpus.available(tmp_path / "nothing") == 8


def test_everything_else_asks_there() -> None:
    files = [f for name in ("mmft_core", "plugins") for f in (ROOT / name).rglob("*.py")]
    words = ("os.cpu_count", "sched_getaffinity", "multiprocessing.cpu_count")
    assert [f for f in files if any(word in f.read_text(encoding="utf-8") for word in words)] == [
        ROOT / "mmft_core" / "cpus.py"
    ]
