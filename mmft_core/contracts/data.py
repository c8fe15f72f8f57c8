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
        inputs: the raw input of each modality, lazily decoded where it can be (a PIL image that
            is opened but not loaded, a path of an audio file, a string); None where the sample
            lacks one, which it may if `DatasetContext.partial` says so.
        target: as the data set knows it (a class name, a text, a number), or None.
        id: what messages and reports point at: the file, or the table and its row.
        kind: what it is one of, such as a type of question; evaluations tell metrics by it. "" for
            nothing.
    """

    inputs: Mapping[str, Any]
    target: Any
    id: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a sample is made of. A run records digests of it, to notice when its data change.

    Attributes:
        values: what the data set holds in memory: the cells of a row, a file's name relative to
            the data set's folder, the target. Strings, bytes, numbers, None, NumPy arrays, and
            lists, tuples and dictionaries of these.
        files: the files that the rest is read from.
        inputs: the part of `values` that a network is given, beside the files' content: neither
            targets nor names of files. By it a sample is found again after its label was written
            in another way. None where this is all of `values`.
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
        """The target alone; override where that is cheaper than the whole sample."""
        return self[index].target

    def input(self, index: int, modality: str) -> Any:
        """One input alone; override where that is cheaper than the whole sample."""
        return self[index].inputs.get(modality)

    def sample_id(self, index: int) -> str:
        """The id alone; override where that is cheaper than the whole sample."""
        return self[index].id

    def origin(self, index: int) -> Origin | None:
        """What the sample is made of, without reading its files.

        None (the default) where the data set cannot tell: then the sample's id stands for it.
        """
        return None

    def check(self, index: int) -> None:
        """Read the sample as far as is needed to know that it is sound.

        Called for every sample before training, from several threads; override where soundness
        shows more cheaply than by decoding everything.

        Raises:
            SampleError: it is not.
        """
        self[index]

    def sizes(self) -> Sequence[float] | None:
        """How large each sample is (characters, seconds), or None where all are alike.

        Samples of like sizes share a batch, so that little of it is padding. Rough figures do,
        in the unit in which a user gives `engine.batch_total`.
        """
        return None

    def groups(self) -> Sequence[str] | None:
        """What each sample is of (a patient, a speaker, a file), or None where each is by itself.

        Samples of one group know of each other, so random splits and folds keep them together.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set beside its samples. It is stored with the model.

    Attributes:
        name: for reports: a name or a path.
        classes: the class names in the order of their indices; empty where there are none.
        source: where the data come from.
        hub_id: of a data set of the Hugging Face Hub.
        licence: theirs, as far as it is known.
        synthetic: generated rather than collected.
        notes: remarks that a reader of the report should see (how it was split, ...).
        warnings: what is doubtful about the data, as whole sentences. Every command that reads the
            data tells them.
        target_scale: mean and standard deviation of the training split's targets, where these
            are numbers. The core works it out.
        formats: by column of a table, how its cells of numbers and dates are written
            ("decimal-comma"), for processors that are given such cells as text.
        extra: what else a data set tells those who are built with it, as plain JSON.
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
    """Named splits: "train", and where there are any "val" (chooses the model) and "test".

    Attributes:
        options: those that it was built with, with what was found out filled in (such as what each
            column holds). A run keeps them, so that other data are read as its own were. None
            where nothing was found out.
        columns: of a table, the column of each modality and of the "target", as far as each is one
            column; also of what else `Inspector.cells` names.
    """

    info: DatasetInfo
    splits: Mapping[str, Split]
    options: Any = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """A collated batch.

    Attributes:
        inputs: modality -> what the backbone's processor collated of the samples that have one;
            modalities that none of them has are left out.
        targets: what the task's codec collated, or None where there are no targets.
        ids: sample ids, in order.
        present: modality -> (B,) bool, which samples have one; modalities that all of them have
            are left out.
        kinds: what each sample is one of (`Sample.kind`); empty where none is of a kind.
    """

    inputs: dict[str, Tensors]
    targets: Any
    ids: list[str]
    present: Tensors = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def inputs_of(self, backbone: str) -> Tensors:
        """What a backbone is called with, given what it reads.

        For "image" these are that modality's tensors; for "image+text" those of both, named
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
        target: which of its spec's targets the task learns from.
        modalities: which inputs it reads; others that a data set holds need not come. Empty for
            all that it declares.
        partial: whether samples may lack some of them.
        seed: of any random split.
        unseen_classes: whether val and test may hold classes that train does not.
        training: whether it is to be learned from. Otherwise a trained model is evaluated on it,
            and one class, or no training split, is enough.
        learned: the target that the task learns from, where inputs alone are asked for and
            `target` is "none": the samples are then those that it would have with targets.
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
        """Whether inputs alone are asked for; columns of anything else may then be missing."""
        return self.target == "none" and not self.training
