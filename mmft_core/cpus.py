"""How many CPUs this process may use."""

from __future__ import annotations

import os


def available() -> int:
    """The CPUs that this process may use, by its affinity and by the quotas of its cgroups.

    joblib reads both versions of cgroups. `LOKY_MAX_CPU_COUNT` sets a limit of one's own.
    """
    from joblib import cpu_count  # Slow to import.

    return int(cpu_count())


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
