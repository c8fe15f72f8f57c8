"""Optional packages, and the error if one is missing."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from mmft_core.errors import MissingExtraError


def require_extra(what: str, extra: str, distribution: str = "mmft") -> None:
    """Check that the packages of an extra are installed.

    Args:
        what: what needs them.

    Raises:
        MissingExtraError: they are not.
    """
    if not extra_installed(distribution, extra):
        raise missing_error(what, [extra], distribution)


def missing_error(what: str, extras: Sequence[str], distribution: str) -> MissingExtraError:
    """The error for missing extras."""
    return MissingExtraError(
        f"{what} needs packages that are not installed.",
        hint=f"Install them with: {install_command(extras, distribution)}",
    )


def install_command(extras: Sequence[str], distribution: str = "mmft") -> str:
    """The command that installs extras."""
    return f"pip install '{distribution}[{','.join(extras)}]'"


def unread_without(what: str, extra: str, distribution: str = "mmft") -> str:
    """The reason for a `SampleError` of a file whose format can only be read with an extra.

    Files of such a kind belong to a data set by their suffix whether the extra is installed or not,
    so that none is silently skipped.

    Args:
        what: the format: "HEIC".
    """
    command = install_command([extra], distribution)
    return f"it is {what}, which needs packages that are not installed: {command}"


def extra_installed(distribution: str, extra: str) -> bool:
    """Whether every requirement that `distribution` lists under `extra` is installed."""
    if (distribution, extra) in _INSTALLED:
        return True
    if _all_installed(distribution, extra):
        _INSTALLED.add((distribution, extra))
        return True
    return False


_INSTALLED: set[tuple[str, str]] = set()
"""Extras that were found: reading metadata takes long. Missing ones may still be installed."""


def _all_installed(distribution: str, extra: str) -> bool:
    from packaging.requirements import Requirement  # Slow to import, and seldom needed.

    try:
        lines = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return True
    for requirement in map(Requirement, lines):
        if requirement.marker is None or "extra" not in str(requirement.marker):
            continue
        if not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if not requirement.specifier.contains(installed, prereleases=True):
            return False
    return True
