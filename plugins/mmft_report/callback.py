"""The callback that writes reports: of a run, with its model card, and of a cross-validation."""

from __future__ import annotations

from typing import Any

from mmft_core.contracts import Callback, FinishedFolds, FinishedRun
from mmft_report.card import write_card
from mmft_report.collect import collect_content
from mmft_report.folds import write_folds_report
from mmft_report.page import write_report


class Report(Callback):
    """Writes `report.html` and, for a single run, the model card `README.md`."""

    def __init__(self, options: Any = None) -> None:
        """There are no options."""

    def on_finish(self, run: FinishedRun) -> None:
        content = collect_content(run)
        write_report(run.directory, content)
        write_card(run.directory, content)

    def on_folds_finish(self, folds: FinishedFolds) -> None:
        write_folds_report(folds)
