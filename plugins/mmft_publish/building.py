"""Building the wheel of a package, by hatchling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmft_core.errors import StorageError


def build_wheel(project: Path) -> Path:
    """Build a wheel below the project's `dist/`, asking no package index.

    Raises:
        StorageError: it cannot be built.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=project,
        capture_output=True,
        text=True,
    )
    wheels = sorted((project / "dist").glob("*.whl"))
    if ran.returncode or not wheels:
        said = (ran.stderr.strip() or ran.stdout.strip() or "no wheel was built").splitlines()[-1]
        raise StorageError(f"The wheel of {project} cannot be built: {said}")
    return wheels[-1]
