"""Python where a plugin is installed in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python(installed: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python where the plugin is installed; its entry points are found on the path."""
    path = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )
