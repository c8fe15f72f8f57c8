"""Errors in Python's words: arguments in place of flags, and data in place of files in a cache."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from mmft_core.errors import MmftError
from mmft_core.utils import memory_tables

_ARGUMENTS = {
    "task": "task", "backbone": "backbone", "dataset": "dataset", "metric": "metrics",
    "weights": "weights", "tune": "tune", "epochs": "epochs", "batch-size": "batch_size",
    "lr": "lr", "seed": "seed", "folds": "folds", "on-bad-sample": "on_bad_sample",
    "config": "config", "output": "output", "callback": "callbacks", "split": "split",
    "top": "top_k", "format": "format", "quantize": "quantize", "samples": "samples",
    "max-drop": "max_drop",
}  # fmt: skip
"""By flag of the command line."""

_COMMAND = re.compile(r"`mmft [^`]*`|mmft (?!plugins)[a-z]+(-[a-z]+)* [^.]*(\.(?! |$)[^.]*)*")
_FLAG = re.compile(
    rf"--({'|'.join(_ARGUMENTS)})\b"
    r"(?:[ =](?:(\w+)=)?(\d[\w.-]*|[A-Z][A-Z_|]+\b|none|auto|pretrained|lora|full|head|all|skip"
    r"|fail|test|train|val))?"
)
_SETTING = re.compile(r"--set ([\w.]+)=([\w./\[\]-]*[\w/\]])")
_KIND = re.compile(r"`mmft plugins --kind ([\w-]+)`")


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Have errors name what a caller in Python has given."""
    try:
        yield
    except MmftError as error:
        error.message = reworded(error.message)
        error.hint = None if error.hint is None else reworded(error.hint)
        error.args = (error.message,)
        raise


def reworded(text: str) -> str:
    """A sentence for the command line as one for Python; commands in it stay."""
    text = _KIND.sub(r'`mmft.plugins(kind="\1")`', _without_cache(text))
    text = re.sub(r"--kind (\w+)", r'kind="\1"', text)
    found, at = [], 0
    for command in _COMMAND.finditer(text):
        found += [_arguments(text[at : command.start()]), command[0]]
        at = command.end()
    return "".join([*found, _arguments(text[at:])])


def _without_cache(text: str) -> str:
    place = rf"{re.escape(str(memory_tables()))}/[0-9a-f]{{16}}"
    text = re.sub(rf"(The|the) (?:table|folder|data of) {place}(/rows\.parquet)?", r"\1 data", text)
    text = re.sub(rf"^{place}(/rows\.parquet)?", "The data", text)
    text = re.sub(rf"{place}(/rows\.parquet)?", "the data", text)
    text = re.sub(r"\brows\.parquet, row (\d+)", r"row \1 of the data", text)
    return re.sub(r"\b(\w+)-00000-of-00001\.parquet, row (\d+)", r"row \2 of \1", text)


def _arguments(text: str) -> str:
    text = _SETTING.sub(lambda m: f'**{{"{m[1]}": {_value(m[2])}}}', text)
    return _FLAG.sub(_argument, text).replace("--resume", "mmft.resume(...)")


def _argument(match: re.Match[str]) -> str:
    flag, modality, value = match.groups()
    name = _ARGUMENTS[flag]
    if value is None:
        return f"{name}="
    shown = _value(value)
    return f'{name}={{"{modality}": {shown}}}' if modality else f"{name}={shown}"


def _value(text: str) -> str:
    """A value as Python writes it; placeholders, in capitals, stay."""
    plain = text.isupper() or text.startswith("[") or re.fullmatch(r"[\d.e-]+", text)
    return text if plain else f'"{text}"'
