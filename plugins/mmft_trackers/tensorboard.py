"""TensorBoard: event files in the run directory; `tensorboard --logdir runs` shows all runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from mmft_core.contracts import Ending, Record
from mmft_trackers.tracker import Tracker


class TensorboardTracker(Tracker):
    """Metrics as scalars, settings as hyperparameters, the model card as text.

    A run that resumes writes its events anew, from `metrics.jsonl`: event files of a killed process
    may lack some or hold more.
    """

    name = "tensorboard"

    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, logged: Sequence[Record]
    ) -> str:
        folder = self.identity.path / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        # A TensorBoard that is looking on forgets what it has read before.
        self.writer = SummaryWriter(str(folder), purge_step=0)
        plain = {k: v if isinstance(v, int | float) else str(v) for k, v in settings.items()}
        experiment, start, _ = hparams(plain, {"val/loss": 0.0, "test/loss": 0.0})  # type: ignore[no-untyped-call]
        for summary in (experiment, start):
            self.writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
        return folder.name

    def known(self) -> Mapping[str, int]:
        return {}

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self.writer.flush()

    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        self.writer.add_text("ending", ending)
        for file in files:
            if file.suffix == ".md":
                self.writer.add_text(file.stem, file.read_text(encoding="utf-8"))
            else:
                self.writer.add_text(file.stem, f"See {file}.")
        self.writer.close()
