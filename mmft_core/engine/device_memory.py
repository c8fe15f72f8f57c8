"""The memory of this process, and of a device."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def resident_bytes() -> int:
    """The memory that this process holds at this moment; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_bytes(device: torch.device) -> int | None:
    """The memory of a device; of a CPU, what the machine or its container has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type != "cpu":
        return None
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # Where there is none, or it is "max".
        return machine
