"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SPINS = "1000"
"""As fast on a quiet machine as OpenMP's own choice, and several times as fast beside other work
(docs/results.md)."""


def available(root: Path = Path("/")) -> int:
    """The CPUs that this process may use, by its affinity and by the quotas of its cgroups.

    Args:
        root: below which `proc` and `sys` lie.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min((cpus, *_quotas(root)))))


def let_waiting_threads_sleep() -> None:
    """Ask OpenMP for threads that soon sleep while they wait. Call it before torch loads.

    By default they spin for long, which takes the CPU from the very threads that they wait for as
    soon as another process wants it too. A process that has asked OpenMP for anything else is left
    alone.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def limit_threads(wanted: int | None = None) -> None:
    """Let torch compute with no more threads than there are CPUs, or with as many as are wanted.

    torch counts cores, but not the quota of a container. Threads beyond a quota spin while they
    wait for those that have no time left. `OMP_NUM_THREADS` is obeyed as it is.
    """
    import torch

    if wanted is not None:
        torch.set_num_threads(wanted)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > available():
        torch.set_num_threads(available())


def _quotas(root: Path) -> Iterator[float]:
    """The CPUs that each cgroup of this process, or one above it, is limited to.

    Within a container the cgroups' file system begins at the container's own, whatever the paths
    in `/proc/self/cgroup` are.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # Not Linux.
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for name in ("", "unified") if not controllers else (controllers, "cpu"):
            group = PurePosixPath(path)
            for place in (group, *group.parents):
                folder = root / "sys/fs/cgroup" / name / str(place).lstrip("/")
                yield from _quota_v1(folder) if controllers else _quota_v2(folder)


def _quota_v1(folder: Path) -> Iterator[float]:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:
        yield quota / period


def _quota_v2(folder: Path) -> Iterator[float]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return
    if quota != "max":
        yield int(quota) / int(period)
