"""Building the wheel of a package, where hatchling is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from mmft_core.errors import ConfigError, StorageError


def check_builder() -> None:
    """Check that a wheel can be built, before anything is written.

    Raises:
        ConfigError: hatchling is not installed.
    """
    if importlib.util.find_spec("hatchling") is None:
        raise ConfigError(
            "--wheel needs hatchling, which is not installed.",
            hint="pip install hatchling; or leave --wheel out, and let `pip wheel` fetch it.",
        )


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
        said = (ran.stderr.strip() or ran.stdout.strip() or "no wheel came of it").splitlines()[-1]
        raise StorageError(f"The wheel of {project} cannot be built: {said}")
    return wheels[-1]
