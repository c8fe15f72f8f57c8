"""`metrics.jsonl`: reading it, and how often a line is written. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def log_every(given: int | None, total_steps: int) -> int:
    """Steps between lines: as configured, or few enough to give a short run a curve."""
    return given or min(10, max(1, total_steps // 50))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl` up to the first broken line, which a killed process may leave.

    Returns an empty list if the file does not exist.
    """
    records: list[dict[str, Any]] = []
    if not path.exists():
        return records
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            break
        records.append(record)
    return records
