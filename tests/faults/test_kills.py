"""A few of what `python -m tests.faults.kills` does a hundred times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.kills import KILLS, Harness


@pytest.mark.slow
def test_killed_runs_and_full_disks_end_like_the_run_that_nobody_disturbed(tmp_path: Path) -> None:
    harness = Harness(tmp_path, random.Random(), [*KILLS, "full"])
    harness.go(3)
    assert harness.kinds.total() == 3 and harness.resumed >= 1
