"""A run's own data, when the run is resumed or its model is used on them.

They must be unchanged, and are divided as they were for the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

from mmft_core.config.places import dataset_places, with_paths_of
from mmft_core.config.plan import Plan
from mmft_core.contracts import Dataset
from mmft_core.contracts.callbacks import Callback
from mmft_core.data import soundness
from mmft_core.data.fingerprints import Fingerprints
from mmft_core.data.splits import Whole
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError, DataError
from mmft_core.run.build import build_dataset
from mmft_core.run.directory import RunDirectory
from mmft_core.run.kept_samples import Change, KeptSamples
from mmft_core.utils.files import read_as, user_path

RESUMING = "Bring the data back, or start a new run."
_HINT = "Bring them back, or take all samples as they are now: --dataset PATH --split all."


@dataclass(frozen=True)
class OwnData:
    """A run's own data.

    Attributes:
        dataset: the data set, divided into the splits of the run.
        kept: the run's record of its samples; None in runs of older versions.
    """

    directory: RunDirectory
    plan: Plan
    dataset: Dataset
    kept: KeptSamples | None

    @classmethod
    def read(cls, directory: RunDirectory, plan: Plan, hint: str = _HINT) -> OwnData:
        """Build the data set and divide it as it was for the run.

        Args:
            hint: what to do if the data have changed.

        Raises:
            DataError: the data set is no longer available or usable, or its samples differ.
        """
        _check_there(directory, plan)
        with comm.main_first():  # It fills caches for the others.
            dataset = build_dataset(plan)
        kept = KeptSamples.read(directory.samples)
        if kept is None:
            return cls(directory, plan, _divided_anew(directory, dataset, hint), None)
        if len(Whole(dataset.splits)) != kept.total:
            change, _ = kept.compare(dataset, fingerprints_of(plan), ())
            raise changed(directory, change.reason if change else "", hint)
        return cls(directory, plan, kept.divide(dataset), kept)

    @classmethod
    def for_use(cls, directory: RunDirectory, own: Plan, plan: Plan) -> OwnData:
        """The data that a run was trained on, for a plan that uses the run's model on them.

        Args:
            own: the plan of the run.
            plan: a plan that may only differ in the place of the data.

        Raises:
            ConfigError: it differs in something else.
            DataError: as `read`.
        """
        _refuse_other_reading(own, plan)
        return cls.read(directory, with_paths_of(own, plan))

    def compare(
        self,
        splits: Collection[str],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Change | None, KeptSamples | None]:
        """How the samples of these splits differ from the run's; see `KeptSamples.compare`."""
        if self.kept is None:
            return None, None
        return self.kept.compare(self.dataset, fingerprints_of(self.plan), splits, on_progress)

    def check(self, split: str) -> None:
        """Raises:
        DataError: samples of this split, or of "all", have changed.
        """
        change, _ = self.compare(list(self.dataset.splits) if split == "all" else [split])
        if change is not None:
            raise changed(self.directory, change.reason)


def check_moved(plan: Plan, directory: RunDirectory) -> None:
    """Check that data which have been moved can be compared with those of the run.

    Raises:
        DataError: they cannot be compared.
    """
    if directory.elsewhere(plan) and not directory.samples.is_file():
        raise DataError(
            f"{directory.path} was started by a version of mmft that did not record its samples, "
            "so data that have been moved cannot be compared with them.",
            hint="Bring the data back to where they were, and leave out --dataset.",
        )


def same_data(
    plan: Plan, directory: RunDirectory, callback: Callback
) -> tuple[OwnData, KeptSamples | None]:
    """The data of an interrupted run, which may have been moved but not changed, and the record of
    their samples to save now.

    Raises:
        DataError: some samples have changed.
    """
    own = OwnData.read(directory, plan, RESUMING)
    change, samples = own.compare(
        list(own.dataset.splits),
        lambda done, total: callback.on_evaluation_progress("data comparison", done, total),
    )
    if change is not None:
        raise changed(directory, change.reason, RESUMING)
    return own, samples


def check_same(directory: RunDirectory, plan: Plan, dataset: Dataset) -> None:
    """Check that a data set, in any splits, is the same as that of another run.

    Raises:
        DataError: it has changed.
    """
    kept = KeptSamples.read(directory.samples)
    if kept is None:
        return
    change, _ = kept.compare(dataset, fingerprints_of(plan), kept.splits)
    if change is not None:
        raise changed(directory, change.reason, "Bring the data back, or start in a new folder.")


def fingerprints_of(plan: Plan) -> Fingerprints:
    return Fingerprints(list(dataset_places(plan.dataset).values()))


def _refuse_other_reading(own: Plan, plan: Plan) -> None:
    """Check that a run's own data are read with the run's settings.

    Raises:
        ConfigError: a setting differs.
    """
    then, now = (asdict(with_paths_of(p, own).dataset.options) for p in (own, plan))
    for name in then.keys() & now.keys():
        if then[name] != now[name]:
            raise ConfigError(
                f"dataset.{name} is {then[name]!r} in the run and {now[name]!r} on the command "
                "line, but the run's own data are read with the run's settings.",
                hint="Leave it out, or take all samples: --dataset PATH --split all.",
            )


def _check_there(directory: RunDirectory, plan: Plan) -> None:
    """Raises:
    DataError: the data are no longer in their place.
    """
    place = dataset_places(plan.dataset).get("path")
    if place and not user_path(place).exists():
        raise DataError(
            f"The data of {directory.path} are no longer at {place}.",
            hint="Bring them back, or say where they are now with --dataset PATH.",
        )


def _divided_anew(directory: RunDirectory, dataset: Dataset, hint: str) -> Dataset:
    """The data set, divided with the same seed, for runs of older versions.

    Raises:
        DataError: the number of samples has changed.
    """
    if not directory.data.is_file():  # An export has none.
        return dataset
    data = directory.read_data()
    skipped = soundness.Findings(
        [read_as(soundness.Fault, fault, directory.data) for fault in data["skipped"]]
    )
    dataset = soundness.without(dataset, skipped.faulty())
    samples = {name: len(split) for name, split in dataset.splits.items()}
    if samples != data["samples"]:
        raise changed(directory, f"{data['samples']} samples then, {samples} now", hint)
    return dataset


def changed(directory: RunDirectory, reason: str, hint: str = _HINT) -> DataError:
    """The error for a run whose own data have changed."""
    return DataError(
        f"The data of {directory.path} have changed since the run was started: {reason}.", hint=hint
    )
