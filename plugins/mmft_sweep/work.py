"""Trial after trial, until there are enough."""

from __future__ import annotations

import gc
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from mmft_core import Registry
from mmft_core.config import Tree
from mmft_core.errors import MmftError, NonFiniteLossError, OutOfMemoryError
from mmft_core.utils import out_of_memory
from mmft_report.wording import setting
from mmft_sweep.fitting import plan_trial
from mmft_sweep.folder import Keep, SweepFolder
from mmft_sweep.record import write_record
from mmft_sweep.space import Value
from mmft_sweep.study import Attempt, Study, state_of
from mmft_sweep.trial import TrialPrunedError, TrialRunner, TrialStoppedError


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process's part in a sweep.

    Attributes:
        base: the settings that all trials share.
        trials: it ends after this many, of all workers together; None for as many as the sweep is
            for.
        tell: called with a sentence at every trial's beginning and end.
        check: called between trials; may raise to end the work.
    """

    study: Study
    runner: TrialRunner
    base: Tree
    trials: int | None
    tell: Callable[[str], None]
    check: Callable[[], None] = lambda: None

    def work(self) -> None:
        """Run trials until there are enough.

        The sweep's settings are read anew each time, because a user may have asked for more.

        Raises:
            TrialStoppedError, KeyboardInterrupt: it was asked to stop.
            MmftError: an error that other trials would meet, too.
        """
        folder = self.runner.folder
        while True:
            self.check()
            settings = folder.read()
            attempt = self.study.take(self.trials or settings.trials)
            if attempt is None:
                return
            again = "" if attempt.continues is None else f" (continues {attempt.continues})"
            self.tell(f"Trial {attempt.number}{again}: {in_words(attempt.params)}")
            try:
                self.tell(f"Trial {attempt.number} {self._attempt(attempt)}")
            finally:
                _free_memory()
                with folder.alone():
                    tidy(folder, self.study, settings.keep)
                    write_record(folder, self.study, self.base)

    def _attempt(self, attempt: Attempt) -> str:
        """Run a trial, and return in words how it ended."""
        study, monitor = self.study, self.runner.monitor
        try:
            value = self.runner.run(attempt, plan_trial(self.base, attempt.params, self.registry))
        except TrialPrunedError:
            study.pruned(attempt)
            return "was stopped early, because it was worse than the others."
        except (TrialStoppedError, KeyboardInterrupt):
            study.interrupted(attempt)
            raise
        except (NonFiniteLossError, OutOfMemoryError) as error:
            study.failed(attempt, error.message)
            return f"failed: {error.message}"
        except MmftError as error:
            study.withdraw(attempt, error.message)
            raise
        except Exception as error:
            if not out_of_memory(error):
                study.withdraw(attempt, str(error))
                raise
            study.failed(attempt, "Memory ran out.")
            return "failed: Memory ran out."
        if not math.isfinite(value):
            study.failed(attempt, f"{monitor} is undefined on val")
            return f"failed: its {monitor} is undefined on val."
        study.complete(attempt, value)
        return f"reached {monitor} {value:.4f}."

    @property
    def registry(self) -> Registry:
        return self.runner.registry


def in_words(params: Mapping[str, Value]) -> str:
    """engine.lr=0.00031 engine.batch_size=16."""
    return " ".join(f"{key}={setting(value)}" for key, value in params.items())


def tidy(folder: SweepFolder, study: Study, keep: Keep) -> None:
    """Remove the checkpoints of trials that did not end well and, unless all are to be kept, every
    model but the best."""
    best = study.best()
    for trial in study.counted():
        path, state = folder.trial(trial.number), state_of(trial)
        if state == "running" or not path.is_dir():
            continue
        runs = [path, *path.glob("fold-*")]
        if keep == "best" and (best is None or trial.number != best.number):
            for run in runs:
                shutil.rmtree(run / "model", ignore_errors=True)
        if state != "complete":
            for run in runs:
                shutil.rmtree(run / "checkpoints", ignore_errors=True)


def _free_memory() -> None:
    """Free the memory of the last trial, which a failed one's traceback may have kept alive."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
