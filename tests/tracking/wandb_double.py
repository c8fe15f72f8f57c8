"""A `wandb` that notes what it is told; the real one starts a service and wants an account."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any


class Run:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.rows, self.artifacts = given, [], []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axis = step_metric

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def log_artifact(self, artifact: Any) -> None:
        self.artifacts.append(artifact)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


class Artifact:
    def __init__(self, name: str, type: str) -> None:
        self.name, self.type, self.files = name, type, []

    def add_file(self, path: str) -> None:
        self.files.append(path)


def make() -> ModuleType:
    module: Any = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)  # Which other libraries ask for.
    module.runs, module.logged_in = [], False

    def init(**given: Any) -> Run:
        module.runs.append(Run(given))
        return module.runs[-1]

    module.init, module.Artifact = init, Artifact
    module.Settings = SimpleNamespace
    module.login = lambda prompt: module.logged_in
    return module
