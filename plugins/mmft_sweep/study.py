"""The study that the workers of a sweep share: who tries what next, and what came of it.

Optuna keeps it in an SQLite file. What a worker does to it (finding trials whose process is gone,
choosing a trial, taking it) happens under a lock, so that any number of processes may join. Nothing
random has a state: the sampler's seed follows from the sweep's and the number of trials before, so
a sweep of one worker that is interrupted chooses what an uninterrupted one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from mmft_core.engine import Monitor
from mmft_core.errors import RunDirectoryError, first_line
from mmft_sweep.folder import Pruner, SweepFolder
from mmft_sweep.proposals import (
    combination,
    distribution,
    make_pruner,
    make_sampler,
    untried,
)
from mmft_sweep.space import Space, Value

NAME = "mmft"
"""The study's name in its file."""

RETRIES = 3
"""How often a trial whose process was killed is tried again."""

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A trial that this process has taken.

    Attributes:
        params: its settings by dotted key.
        continues: the number of the trial that it repeats, which was killed or interrupted.
    """

    number: int
    params: Mapping[str, Value]
    continues: int | None
    trial: optuna.Trial
    lock: FileLock


class Study:
    """The shared study of a sweep."""

    def __init__(
        self, folder: SweepFolder, space: Space, monitor: Monitor, pruner: Pruner, seed: int
    ) -> None:
        """Open the study, or make it.

        Raises:
            RunDirectoryError: the file is not a study, or one of another space.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.space, self.monitor, self.seed = folder, space, monitor, seed
        self._distributions = {d.key: distribution(d) for d in space.dimensions}
        with folder.alone():
            self._study = self._open(make_pruner(pruner))

    def _open(self, pruner: optuna.pruners.BasePruner) -> optuna.Study:
        wanted = {"vary": self.space.texts(), "monitor": self.monitor.name}
        try:
            study = optuna.create_study(
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{self.folder.study.absolute()}",
                    engine_kwargs={"connect_args": {"timeout": 60}},
                ),
                study_name=NAME,
                direction="maximize" if self.monitor.higher_is_better else "minimize",
                pruner=pruner,
                load_if_exists=True,
            )
            stored = study.user_attrs.get("sweep") or wanted
        except Exception as error:  # SQLAlchemy and Optuna raise many, depending on the file.
            raise RunDirectoryError(
                f"{self.folder.study} is not a study that can be read: {first_line(error)}.",
                hint="Start the sweep in a new folder.",
            ) from error
        if stored != wanted:
            raise RunDirectoryError(
                f"{self.folder.study} belongs to another sweep: {stored}, not {wanted}.",
                hint="Start the sweep in a new folder.",
            )
        study.set_user_attr("sweep", wanted)
        return study

    # --- taking a trial -------------------------------------------------------------------------

    def take(self, trials: int) -> Attempt | None:
        """Take the next trial; None if there are enough, or every combination was tried.

        Args:
            trials: how many there are to be, of all workers together.
        """
        with self.folder.alone():
            self._reclaim()
            while self._wanted(trials):
                trial = self._ask()
                twin = self._twin(trial)
                if twin is None:
                    lock = self._trial_lock(trial.number)
                    lock.acquire(timeout=0)
                    return Attempt(
                        number=trial.number,
                        params=trial.params,
                        continues=trial.user_attrs.get("continues"),
                        trial=trial,
                        lock=lock,
                    )
                trial.set_user_attr("repeats", twin.number)
                self._study.tell(trial, state=TrialState.FAIL)
                self._propose_untried()
            return None

    def _wanted(self, trials: int) -> bool:
        if any(t.state == TrialState.WAITING for t in self.trials()):
            return True
        counted = self.counted()
        tried = {combination(t.params) for t in counted}
        return len(counted) < trials and len(tried) < self.space.size

    def _ask(self) -> optuna.Trial:
        # Not counted by their numbers: trials that continue others have numbers, too.
        repeats = len(self._study.get_trials(deepcopy=False)) - len(self.trials())
        number = len(self.counted()) + repeats
        self._study.sampler = make_sampler(self.seed, number)
        return self._study.ask(self._distributions)

    def _twin(self, trial: optuna.Trial) -> FrozenTrial | None:
        """An earlier trial of the same settings."""
        own = combination(trial.params)
        others = (t for t in self.counted() if t.number != trial.number)
        return next((t for t in others if combination(t.params) == own), None)

    def _propose_untried(self) -> None:
        """Let the next trial be one of the combinations that were not tried, at random."""
        tried = {combination(t.params) for t in self.counted()}
        params = untried(self.space, tried, self.seed)
        if params is not None:
            self._study.enqueue_trial(params)

    def _reclaim(self) -> None:
        """Find trials whose process is gone, and have them tried again."""
        for trial in self.trials():
            if trial.state != TrialState.RUNNING:
                continue
            lock = self._trial_lock(trial.number)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            with lock:
                if self._whole(trial):
                    self._try_again(trial.number, trial.params, trial.user_attrs)
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _try_again(
        self, number: int, params: Mapping[str, Any], attributes: Mapping[str, Any], more: int = 1
    ) -> None:
        """Have a trial tried again, unless it was tried too often.

        Args:
            more: how much this adds to the trial's retries.
        """
        retries = int(attributes.get("retries", 0)) + more
        if retries <= RETRIES:
            self._study.enqueue_trial(
                dict(params), user_attrs={"continues": number, "retries": retries}
            )

    def _whole(self, trial: FrozenTrial) -> bool:
        """Whether the process that took it got as far as choosing its settings."""
        return self._distributions.keys() <= trial.params.keys()

    def _trial_lock(self, number: int) -> FileLock:
        path = self.folder.trial_lock(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    # --- what came of it ------------------------------------------------------------------------

    def complete(self, attempt: Attempt, value: float) -> None:
        """The trial reached a value of the monitor."""
        self._tell(attempt, TrialState.COMPLETE, value)

    def pruned(self, attempt: Attempt) -> None:
        """The trial was stopped because it was worse than others."""
        self._tell(attempt, TrialState.PRUNED)

    def failed(self, attempt: Attempt, reason: str) -> None:
        """The trial failed because of its settings, so it says something about them."""
        attempt.trial.set_user_attr("reason", reason)
        self._tell(attempt, TrialState.FAIL)

    def withdraw(self, attempt: Attempt, reason: str) -> None:
        """The trial failed for a reason other than its settings, and does not count."""
        attempt.trial.set_user_attr("withdrawn", True)
        self.failed(attempt, reason)

    def interrupted(self, attempt: Attempt) -> None:
        """The trial was interrupted; whoever resumes the sweep continues it."""
        with self.folder.alone():
            self._try_again(attempt.number, attempt.params, attempt.trial.user_attrs, more=0)
        self.failed(attempt, "it was interrupted")

    def _tell(self, attempt: Attempt, state: TrialState, value: float | None = None) -> None:
        with self.folder.alone():
            self._study.tell(attempt.trial, value, state=state)
        attempt.lock.release()

    def trials(self) -> list[FrozenTrial]:
        """All trials but those that would have repeated one."""
        return [t for t in self._study.get_trials(deepcopy=False) if "repeats" not in t.user_attrs]

    def counted(self) -> list[FrozenTrial]:
        """The trials that count as asked for: none that another continues, or that failed for a
        reason other than its settings."""
        known = self.trials()
        continued = {t.user_attrs.get("continues") for t in known}
        return [
            t
            for t in known
            if t.number not in continued and self._whole(t) and "withdrawn" not in t.user_attrs
        ]

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value; the first of equal ones."""
        sign = -1 if self.monitor.higher_is_better else 1
        done = [t for t in self.trials() if t.state == TrialState.COMPLETE]
        return min(done, key=lambda t: (sign * (t.value or 0.0), t.number), default=None)

    def importance(self) -> dict[str, float]:
        """What share of the figure's variance each setting explains, by a random forest (fANOVA:
        Hutter et al., 2014, "An efficient approach for assessing hyperparameter importance").

        Empty if the complete trials have fewer than four different values.
        """
        values = {t.value for t in self.trials() if t.state == TrialState.COMPLETE}
        if len(values) < 4:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))


def state_of(trial: FrozenTrial) -> State:
    """What became of a trial."""
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return states.get(trial.state, "running")
