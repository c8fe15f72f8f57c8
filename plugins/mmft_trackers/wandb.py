"""Weights & Biases: its server, or files that `wandb sync` sends there later."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from mmft_core.contracts import Ending, Record, RunStart
from mmft_core.errors import ConfigError
from mmft_trackers.options import WandbOptions
from mmft_trackers.tracker import Tracker, last_steps


class WandbTracker(Tracker):
    """Metrics as history over "step", settings as configuration, report and card as an artifact.

    When a run resumes, offline files cannot be asked what they hold; they are taken to hold what
    `metrics.jsonl` did.
    """

    name = "wandb"
    options: WandbOptions

    def check(self, run: RunStart) -> None:
        mode = self.options.mode or os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.login(prompt=False):
            raise ConfigError(
                "Weights & Biases has no API key.",
                hint="Log in with `wandb login`, set WANDB_API_KEY, or stay offline with "
                "--set callback.wandb.mode=offline.",
            )

    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, logged: Sequence[Record]
    ) -> str:
        options = self.options
        self.id = earlier or secrets.token_hex(4)
        self._earlier = last_steps(logged) if earlier else {}
        self.run = wandb.init(
            project=options.project,
            entity=options.entity,
            mode=options.mode,
            dir=self.identity.store,
            id=self.id,
            resume="allow",
            name=self.identity.name,
            group=self.identity.group,
            config=dict(settings),
            settings=wandb.Settings(console="off", silent=True),
        )
        self.run.define_metric("*", step_metric="step")
        return self.id

    def known(self) -> Mapping[str, int]:
        return self._earlier

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self.run.log({**scalars, "step": step})

    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        if files:
            artifact = wandb.Artifact(f"run-{self.id}", type="run")
            for file in files:
                artifact.add_file(str(file))
            self.run.log_artifact(artifact)
        self.run.summary["ending"] = ending
        self.run.finish(exit_code=0 if ending in ("finished", "stopped") else 1)
