"""Weights & Biases: its server, or files that `wandb sync` sends there later."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from mmft_core.errors import ConfigError
from mmft_core.trackers.options import TrackingConfig
from mmft_core.trackers.tracker import Ending, Record, Tracker, last_steps


class WandbTracker(Tracker):
    """Figures as history over "step", settings as configuration, report and card as an artifact.

    Of a run that goes on, offline files cannot be asked what they hold; they are taken to hold what
    `metrics.jsonl` did.
    """

    name = "wandb"

    @classmethod
    def check(cls, config: TrackingConfig, store: Path) -> None:
        mode = config.wandb.mode or os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.login(prompt=False):
            raise ConfigError(
                "Weights & Biases has no API key.",
                hint="Log in with `wandb login`, set WANDB_API_KEY, or stay offline with "
                "--set tracking.wandb.mode=offline.",
            )

    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, told: Sequence[Record]
    ) -> str:
        options = self.config.wandb
        self.id = earlier or secrets.token_hex(4)
        self._known = last_steps(told) if earlier else {}
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
        return self._known

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log({**figures, "step": step})

    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        if files:
            artifact = wandb.Artifact(f"run-{self.id}", type="run")
            for file in files:
                artifact.add_file(str(file))
            self.run.log_artifact(artifact)
        self.run.summary["ending"] = ending
        self.run.finish(exit_code=0 if ending in ("finished", "stopped") else 1)
