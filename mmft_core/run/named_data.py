"""Data that a user names for a run's model: the run's own, in its own splits, or others.

They count as the run's own if they are in the same place, or if their samples are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mmft_core.config.options import option_names
from mmft_core.config.places import dataset_places, same_place
from mmft_core.config.plan import Plan
from mmft_core.contracts import Dataset, Split
from mmft_core.data.splits import Subset, Whole
from mmft_core.errors import DataError, MmftError
from mmft_core.run.build import build_dataset
from mmft_core.run.directory import RunDirectory
from mmft_core.run.kept_samples import KeptSamples
from mmft_core.run.own_data import OwnData, fingerprints_of

_ALIKE = 0.5
"""With this share of a run's samples, data are a changed copy or a part of the run's data."""


def named_data(
    directory: RunDirectory,
    own: Plan,
    plan: Plan,
    split: str,
    say: Callable[[str], None],
    *,
    targets: bool = True,
) -> Dataset:
    """The data that a user names, divided into splits that include the requested one.

    Args:
        own: the plan of the run.
        plan: the same plan with the named data.
        say: called if a split was drawn at random.
        targets: whether targets are needed.

    Raises:
        DataError: they cannot be used, are the run's own and have changed, or lack the split.
    """
    if split == "all":
        return build_dataset(plan, training=False, targets=targets)
    if _is_own(own, plan):
        data = OwnData.for_use(directory, own, plan)
        data.check(split)
        return data.dataset
    drawn = functools.cache(lambda: _drawn(plan, split))  # Which builds the data set twice.
    copy = _copy_of_own(directory, plan, split, say, drawn)
    return copy or _others(plan, split, say, drawn, targets=targets)


def tell_learned(
    directory: RunDirectory, plan: Plan, split: Split, say: Callable[[str], None]
) -> None:
    """Warn if a model was trained on some of the samples that it is evaluated on."""
    kept = KeptSamples.read(directory.samples)
    share = 0.0 if kept is None else kept.share_learned(split, fingerprints_of(plan))
    if share:
        number = max(1, round(share * len(split)))
        say(
            f"The model was trained on {number:,} of these {len(split):,} samples, so the metrics "
            "say less about new data."
        )


def _is_own(own: Plan, plan: Plan) -> bool:
    """Whether data are in the place of a run's own."""
    if own.dataset.component.qualified != plan.dataset.component.qualified:
        return False
    then, now = dataset_places(own.dataset), dataset_places(plan.dataset)
    return then.keys() == now.keys() and all(same_place(then[k], now[k]) for k in then)


def _copy_of_own(
    directory: RunDirectory,
    plan: Plan,
    split: str,
    say: Callable[[str], None],
    drawn: Callable[[], bool],
) -> Dataset | None:
    """A copy of the run's own data, possibly with other labels; None if the data are others.

    Args:
        say: called for a copy with other labels, and for a changed copy that itself says which
            samples the split has.
        drawn: whether the split is drawn at random.

    Raises:
        DataError: they are the run's own, but some have changed, and the split was drawn.
    """
    kept = KeptSamples.read(directory.samples)
    if kept is None or split not in kept.splits:
        return None
    try:
        dataset = build_dataset(replace(plan, folds=None))
    except MmftError:  # Nothing could be learned from them, so nothing was.
        return None
    change, _ = kept.compare(dataset, fingerprints_of(plan), [split])
    if change is None:
        return kept.divide(dataset)
    if change.relabelled:
        say(
            f"{dataset.info.name} is a copy of the data of {directory.path} with other labels or "
            f"file names. Its {split} split is the run's: {change.reason}."
        )
        return kept.divide(dataset)
    if change.alike >= _ALIKE and not drawn():
        say(
            f"{dataset.info.name} is a copy of the data of {directory.path} that has changed: "
            f"{change.reason}. The {split} split is the data's own."
        )
    elif change.alike >= _ALIKE:
        raise DataError(
            f"{dataset.info.name} is a copy of the data of {directory.path} that has changed, so "
            f"its {split} split would not be the run's: {change.reason}.",
            hint="Bring back the data as they were, or take all samples: --split all.",
        )
    return None


def _others(
    plan: Plan,
    split: str,
    say: Callable[[str], None],
    drawn: Callable[[], bool],
    *,
    targets: bool,
) -> Dataset:
    """Data that are not the run's, with the split that `mmft eval` evaluates."""
    try:
        divided = build_dataset(plan, training=False)
    except DataError as error:
        if drawn():
            raise DataError(
                f"The data have no {split} split of their own, and none can be drawn from them as "
                f"for training: {error.message}",
                hint="Take all samples (--split all), or give the data that the run was trained "
                "on, whose splits are kept with it.",
            ) from None
        if targets:
            raise
        return build_dataset(plan, training=False, targets=False)
    if split not in divided.splits:
        return divided
    if drawn():
        say(
            f"{divided.info.name} is not what the run was trained on and has no {split} split of "
            f"its own: {len(divided.splits[split]):,} samples of it were drawn at random."
        )
    return divided if targets else _inputs_alone(plan, divided, split)


def _drawn(plan: Plan, split: str) -> bool:
    """Whether a split is drawn at random instead of being given by the data."""
    options = plan.dataset.options
    shares = {"val", "test"} & option_names(type(options))
    alone = replace(plan.dataset, options=replace(options, **dict.fromkeys(shares, 0.0)))
    given, divided = (
        build_dataset(replace(plan, dataset=part), training=False, targets=False).splits.keys()
        for part in (alone, plan.dataset)
    )
    changed = divided != given and split in divided
    return changed and (split == "train" or split not in given)


def _inputs_alone(plan: Plan, divided: Dataset, split: str) -> Dataset:
    """The same samples without targets, which some of them may lack."""
    plain = build_dataset(plan, training=False, targets=False)
    whole, chosen = Whole(plain.splits), divided.splits[split]
    places = {whole.sample_id(index): index for index in range(len(whole))}
    found = [places.get(chosen.sample_id(index)) for index in range(len(chosen))]
    if None in found:
        return divided
    return replace(plain, splits={split: Subset(whole, np.array(found, dtype=np.int64))})
