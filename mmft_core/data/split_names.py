"""Names of splits in folders, files and columns."""

from __future__ import annotations

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Usual names, in lower case, of the three splits."""
