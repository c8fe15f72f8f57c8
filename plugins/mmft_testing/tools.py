"""What several checks need: no network, reloading of weights, comparing of results."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core import Component
from mmft_core.contracts import Graph
from mmft_core.engine import kept_weights
from mmft_core.errors import ExportError, IncompatibleError
from mmft_export.tracing import trace


def skip_without_extras(component: Component[Any]) -> None:
    missing = component.missing_extras()
    if missing:
        pytest.skip(f"{component.distribution}[{','.join(missing)}] is not installed")


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    """Make every connection to elsewhere an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("it uses the network, although neither weights nor data ask for it")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def reload_weights(module: torch.nn.Module, into: torch.nn.Module, folder: Path) -> None:
    """Save a module's weights and load them into another, as a run does."""
    kept_weights.write_tensors(module.state_dict(), folder / "weights.safetensors")
    lacking, unknown = kept_weights.read_tensors(into, folder / "weights.safetensors")
    assert not lacking, f"built again it has {lacking[0]}, which was not saved"
    assert not unknown, f"built again it lacks {unknown[0]}, which was saved"


def equal(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two trees of tensors and numbers are equal, NaN counting as equal to itself."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        # The first is far quicker, and most of what is compared is equal.
        return torch.equal(a, b) or torch.allclose(a, b, tolerance, tolerance, equal_nan=True)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[k], b[k], tolerance) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, float | int) and isinstance(b, float | int):
        return abs(a - b) <= tolerance + tolerance * abs(b) or a == b or (a != a and b != b)
    return bool(a == b)


def check_graphs(declared: Callable[[], Sequence[Graph]]) -> None:
    """Trace what a component declares as graphs, as an export does; skip where it refuses."""
    try:
        graphs = declared()
    except IncompatibleError as error:
        pytest.skip(error.message)
    assert graphs, "it declares no graph, which it should refuse to"
    for graph in graphs:
        try:
            trace(graph)
        except ExportError as error:
            raise AssertionError(f"{error.message} {error.hint}") from error


def modules_after(program: str) -> tuple[set[str], str]:
    """Run a program in a new interpreter; return the modules that it imported, and its errors."""
    report = "\nimport sys\nprint(*sys.modules, sep='\\n', file=sys.__stdout__)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", program + report],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return set(ran.stdout.split()), ran.stderr if ran.returncode else ""
