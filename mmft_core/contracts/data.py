"""Data: samples, splits, data sets, batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

Tensors: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample.

    Attributes:
        inputs: the raw input of each modality, lazily decoded if possible (a PIL image that is
            opened but not loaded, the path of an audio file, a string); None if the sample lacks
            one, which `DatasetContext.partial` may allow.
        target: the target as the data set stores it (a class name, a text, a number), or None.
        id: how messages and reports refer to it: the file, or the table and its row.
        kind: a category, such as a type of question; evaluations also report metrics for each. ""
            for none.
    """

    inputs: Mapping[str, Any]
    target: Any
    id: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a sample is made of. A run records digests of it, to detect changed data.

    Attributes:
        values: what the data set holds in memory: the cells of a row, a file's name relative to
            the data set's folder, the target. Strings, bytes, numbers, None, NumPy arrays, and
            lists, tuples and dictionaries of these.
        files: the files that the rest is read from.
        inputs: the part of `values` that is input to a network, besides the content of the files:
            neither targets nor file names. It identifies a sample whose label is now spelled
            differently. None if this is all of `values`.
    """

    values: Any
    files: tuple[Path, ...] = ()
    inputs: Any = None


class Split(ABC):
    """Random access to the samples of one split. It must be picklable, for worker processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Raises:
            SampleError: it cannot be read.
        """

    def target(self, index: int) -> Any:
        """Only the target; override it if that is cheaper than the whole sample."""
        return self[index].target

    def input(self, index: int, modality: str) -> Any:
        """Only one input; override it if that is cheaper than the whole sample."""
        return self[index].inputs.get(modality)

    def sample_id(self, index: int) -> str:
        """Only the id; override it if that is cheaper than the whole sample."""
        return self[index].id

    def origin(self, index: int) -> Origin | None:
        """What the sample is made of, without reading its files.

        None (the default) if the data set cannot tell; then the sample's id is used instead.
        """
        return None

    def check(self, index: int) -> None:
        """Read as much of the sample as is needed to know that it is usable.

        Called for every sample before training, from several threads; override it if that can be
        checked without decoding everything.

        Raises:
            SampleError: the sample is not usable.
        """
        self[index]

    def sizes(self) -> Sequence[float] | None:
        """The size of each sample (characters, seconds), or None if all are equal.

        Samples of similar size share a batch, to reduce padding. Estimates are enough, in the unit
        of `engine.batch_total`.
        """
        return None

    def groups(self) -> Sequence[str] | None:
        """The group of each sample (a patient, a speaker, a file), or None if there are none.

        Random splits and folds keep the samples of a group together, because they are not
        independent.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Information about a data set besides its samples. It is stored with the model.

    Attributes:
        name: a name or a path, for reports.
        classes: the class names in the order of their indices; empty if there are none.
        source: where the data come from.
        hub_id: the id on the Hugging Face Hub, if it is from there.
        licence: the licence of the data, if known.
        synthetic: whether the data are generated rather than collected.
        notes: remarks for readers of the report (how it was split, ...).
        warnings: what is doubtful about the data, in whole sentences. Every command that reads the
            data prints them.
        target_scale: mean and standard deviation of the training split's targets, if these are
            numbers. The core computes it.
        formats: by column of a table, the format of its numbers and dates ("decimal-comma"), for
            processors that receive such cells as text.
        extra: anything else that backbones and tasks should know, as plain JSON.
    """

    name: str
    classes: tuple[str, ...] = ()
    source: str = ""
    hub_id: str = ""
    licence: str = "unknown"
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    target_scale: tuple[float, float] | None = None
    formats: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Named splits: "train", and optionally "val" (to choose the best model) and "test".

    Attributes:
        options: its options, completed with what was detected (such as what each column holds). A
            run saves them, so that other data are read in the same way. None if nothing was
            detected.
        columns: for a table, the column of each modality and of the "target", if each is a single
            column; also the columns of anything else that `Inspector.cells` names.
    """

    info: DatasetInfo
    splits: Mapping[str, Split]
    options: Any = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """A collated batch.

    Attributes:
        inputs: modality -> what the backbone's processor collated from the samples that have it;
            modalities that no sample has are left out.
        targets: what the task's codec collated, or None without targets.
        ids: sample ids, in order.
        present: modality -> (B,) bool, which samples have it; modalities that all samples have are
            left out.
        kinds: the kind of each sample (`Sample.kind`); empty if no sample has one.
    """

    inputs: dict[str, Tensors]
    targets: Any
    ids: list[str]
    present: Tensors = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def inputs_of(self, backbone: str) -> Tensors:
        """The inputs of a backbone, given the modality that it reads.

        For "image" these are the tensors of that modality; for "image+text" those of both, named
        "MODALITY.NAME".
        """
        if "+" not in backbone:
            return self.inputs[backbone]
        held = {m: self.inputs[m] for m in backbone.split("+") if m in self.inputs}
        return {f"{m}.{name}": tensor for m, own in held.items() for name, tensor in own.items()}

    def to(self, device: torch.device) -> Self:
        """Move the tensors to a device, asynchronously from pinned memory."""
        return self._mapped(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        names = ("inputs", "targets", "present")
        return replace(self, **{n: map_tensors(getattr(self, n), function) for n in names})


def map_tensors(tree: Any, function: Any) -> Any:
    """Apply a function to every tensor in nested dicts, lists and tuples."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tensors(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(value, function) for value in tree)
    return tree


@dataclass(frozen=True, kw_only=True)
class DatasetContext:
    """What a dataset is built with.

    Attributes:
        target: which of its spec's targets the task learns. All targets must be None if it is
            "none", and none may be None otherwise: a sample that lacks its target raises a
            `SampleError`.
        modalities: which inputs the task reads; the data set may leave out others. Empty for all
            that it declares.
        partial: whether samples may lack some of them.
        seed: the seed of any random split.
        unseen_classes: whether val and test may contain classes that train does not.
        training: whether a model is trained on it. Otherwise a trained model is evaluated on it,
            and one class, or no training split, is enough.
        learned: the target that the task learns, if only inputs are requested (`target` is
            "none"): the samples are then the same as with targets.
    """

    target: str = "class"
    modalities: tuple[str, ...] = ()
    partial: bool = False
    seed: int = 0
    unseen_classes: bool = False
    training: bool = True
    learned: str = ""

    @property
    def only_inputs(self) -> bool:
        """Whether only inputs are requested; all other columns may then be missing."""
        return self.target == "none" and not self.training
