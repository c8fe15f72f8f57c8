"""Every error that mmft raises on purpose, as one tree.

    MmftError
    ├── ConfigError             a flag, a TOML key or a --set value is wrong
    ├── PluginError             a plugin is broken, or breaks its contract
    │   ├── UnknownComponentError   no plugin offers that name
    │   ├── AmbiguousNameError      several plugins offer that name
    │   └── MissingExtraError       a component needs packages that are not installed
    ├── IncompatibleError       the chosen parts do not fit together
    ├── DataError               a data set cannot be used as it is
    │   └── SampleError             one sample cannot be used; names it
    ├── WeightsError            pretrained weights are not available or do not fit
    ├── RunDirectoryError       a run directory is missing, not empty, or of another run
    │   └── CheckpointError         a checkpoint is damaged or belongs to another run
    ├── HubError                a model hub cannot be reached, or refuses
    ├── ExportError             an export cannot be made, differs from its run, or is damaged
    ├── StorageError            the disk is full or may not be written
    ├── OutOfMemoryError        memory ran out; says what would fit
    ├── ProcessError            processes that train together cannot connect, or one is gone
    │   └── ElsewhereError          another process has failed and reports the error
    └── TrainingError           training cannot continue
        └── NonFiniteLossError      the loss is NaN or infinite; names step and samples

The message is one sentence that says what is wrong and where; `hint` says what to do about it.
The command line prints both and exits with 2. Any other exception is a bug in mmft or in a plugin
and keeps its traceback, which names the plugin if it is from one (`mmft_core.plugin_errors`).
`StopTrainingError` is not in the tree: a callback that ends a training is no error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class MmftError(Exception):
    """Base of every error that a user, rather than a programmer, can fix."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        between = "\n" if "\n" in self.message else " "
        return f"{self.message}{between}{self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback, which would help nobody."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(MmftError):
    """A flag, a key in a TOML file or a --set value is wrong."""


class PluginError(MmftError):
    """A plugin is broken or breaks the contract."""


class UnknownComponentError(PluginError):
    """No plugin offers a component of that name."""


class AmbiguousNameError(PluginError):
    """Several plugins offer that name; the qualified name is unambiguous."""


class MissingExtraError(PluginError):
    """The component needs packages of an extra that is not installed."""


class IncompatibleError(MmftError):
    """Task, backbones, dataset and metrics do not fit together."""


class DataError(MmftError):
    """A data set is missing, empty or unusable."""


class SampleError(DataError):
    """One sample is unusable.

    `sample_id` is the id that reports use: the file, or the table and its row; `reason` is a clause
    that says what is wrong, such as "it is empty"; `kind` is the kind of finding in `mmft data
    check`.
    """

    def __init__(
        self, sample_id: str, reason: str, *, kind: str = "unreadable", hint: str | None = None
    ) -> None:
        super().__init__(f"{sample_id}: {reason}.", hint=hint)
        self.sample_id = sample_id
        self.reason = reason
        self.kind = kind

    def __reduce__(self) -> tuple[type[SampleError], tuple[str, str], dict[str, str | None]]:
        # Worker processes send their exceptions by pickle, which would pass `message` alone.
        state = {"hint": self.hint, "kind": self.kind}
        return type(self), (self.sample_id, self.reason), state


class WeightsError(MmftError):
    """Pretrained weights are not available, or do not fit the backbone."""


class RunDirectoryError(MmftError):
    """A run directory is missing, not empty, or holds something else."""


class CheckpointError(RunDirectoryError):
    """A checkpoint is damaged or belongs to another run."""


class HubError(MmftError):
    """A model hub cannot be reached, or refuses."""


class ExportError(MmftError):
    """An export cannot be made, computes something else than its run, or is damaged."""


class StorageError(MmftError):
    """The disk is full, or the location is not writable."""


class OutOfMemoryError(MmftError):
    """The memory of the machine or of its device ran out."""


class ProcessError(MmftError):
    """Some of the processes that train together cannot be reached, or are gone."""


class ElsewhereError(ProcessError):
    """Another process has failed and reports the error; this one exits quietly."""


class TrainingError(MmftError):
    """Training cannot continue."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, loss: float, sample_ids: Sequence[str]) -> None:
        shown = ", ".join(sample_ids[:8])
        more = f" and {len(sample_ids) - 8} more" if len(sample_ids) > 8 else ""
        super().__init__(
            f"The loss became {loss} at step {step}, on the samples {shown}{more}.",
            hint="Lower engine.lr, set engine.clip_norm or engine.precision=fp32, "
            "or look at these samples; the last checkpoint is kept.",
        )
        self.step = step
        self.sample_ids = tuple(sample_ids)


class StopTrainingError(Exception):
    """Raised by a callback to end the training without an error."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, as part of a sentence."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def with_install_hint(
    error: UnknownComponentError, what: str, packages: Iterable[str]
) -> UnknownComponentError:
    """The error with what to install as its hint, or as it is if no package is known.

    Args:
        what: was made with the component, such as "model".
    """
    names = " ".join(f"'{package}'" for package in packages)
    hint = f"The {what} was made with it: pip install {names}."
    return UnknownComponentError(error.message, hint=hint) if names else error


def some_of(things: Sequence[str]) -> str:
    """The first few of many, as the end of a sentence."""
    more = f" and {len(things) - 5:,} more" if len(things) > 5 else ""
    return f"{'; '.join(things[:5])}{more}."


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name most similar to a name, if any is similar.

    Args:
        cutoff: the minimum similarity, from 0 to 1; higher if many names are known.
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string."""
    near = nearest(name, known)
    return f" Did you mean '{near}'?" if near is not None else ""
