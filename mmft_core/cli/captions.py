"""Captions for timed texts: SRT (SubRip) and WebVTT.

A record has "words" or "segments", each with "start" and "end" in seconds. Words are joined into
readable captions of at most two lines and a few seconds, broken at pauses and sentences.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmft_core.cli.terminal import for_lines
from mmft_core.errors import ConfigError
from mmft_core.utils.files import storage_errors

if TYPE_CHECKING:
    from mmft_core.inference.predictor import Prediction

CAPTIONS = ("srt", "vtt")

LINE = 42
"""Characters of a line; a caption has two at most."""

LONGEST = 7.0
"""Seconds of a caption that is made of words."""

PAUSE = 0.7
"""Seconds without words that end a caption."""

_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Caption:
    """A text that is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    lines: tuple[str, ...]


def check_output(form: str, output: Path | None, *, several: bool) -> None:
    """Raises:
    ConfigError: there are several inputs and no folder for their captions.
    """
    if several and not _is_folder(output):
        raise ConfigError(
            f"Captions of several inputs cannot be written to one {form.upper()} file.",
            hint="Give -o FOLDER to write one file for each.",
        )


def _is_folder(output: Path | None) -> bool:
    return output is not None and (output.is_dir() or not output.suffix)


def write_captions(predictions: Iterable[Prediction], form: str, output: Path | None) -> None:
    """Write the captions of one input, or those of several into a folder, as they are made.

    Args:
        form: one of `CAPTIONS`.
        output: a file or a folder; None for standard output.

    Raises:
        StorageError: a file cannot be written.
    """
    written: set[Path] = set()
    for prediction in predictions:
        if prediction.record is None:
            continue
        text = render(captions(prediction.record), form)
        if output is None:
            stream = for_lines(sys.stdout)
            for line in text.splitlines(keepends=True):
                stream.write(line)
            continue
        with storage_errors(output):
            folder = _is_folder(output)
            path = _free(output, prediction.source, form, written) if folder else output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _free(folder: Path, source: str, form: str, written: set[Path]) -> Path:
    """A name for the captions of an input that none of the others has."""
    stem = Path(source).stem or "captions"
    names = (f"{stem}{f'-{n}' if n > 1 else ''}.{form}" for n in itertools.count(1))
    path = next(folder / name for name in names if folder / name not in written)
    written.add(path)
    return path


def captions(record: Mapping[str, Any]) -> list[Caption]:
    """The captions of a record, from its words or else from its segments."""
    if record.get("words"):
        return [_of_words(words) for words in _groups(record["words"])]
    return [
        Caption(s["start"], max(s["start"], s["end"]), tuple(_wrapped(s["text"].split())))
        for s in record.get("segments", ())
        if s["text"].strip()
    ]


def render(found: Sequence[Caption], form: str) -> str:
    """The text of a file of captions, which is valid even without any."""
    blocks = []
    for number, caption in enumerate(found, start=1):
        comma = "," if form == "srt" else "."
        times = f"{_clock(caption.start, comma)} --> {_clock(caption.end, comma)}"
        lines = caption.lines if form == "srt" else tuple(map(_escaped, caption.lines))
        head = f"{number}\n" if form == "srt" else ""
        blocks.append(f"{head}{times}\n" + "\n".join(lines) + "\n")
    text = "\n".join(blocks)
    return text if form == "srt" else "WEBVTT\n" + (f"\n{text}" if text else "")


def _groups(words: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Group words into captions."""
    group: list[Mapping[str, Any]] = []
    for word in words:
        if group and _is_over(group, word):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _is_over(group: Sequence[Mapping[str, Any]], word: Mapping[str, Any]) -> bool:
    """Whether a caption should end before a word."""
    first, last = group[0], group[-1]
    together = [w["word"] for w in (*group, word)]
    return (
        word["start"] - last["end"] > PAUSE
        or word["end"] - first["start"] > LONGEST
        or last["word"].endswith(_ENDS)
        or len(_wrapped(together)) > 2
    )


def _of_words(words: Sequence[Mapping[str, Any]]) -> Caption:
    start, end = words[0]["start"], words[-1]["end"]
    return Caption(start, max(start, end), tuple(_wrapped([w["word"] for w in words])))


def _wrapped(words: Sequence[str]) -> list[str]:
    """Lines of at most `LINE` characters; a longer word has one of its own."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _clock(seconds: float, separator: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"


def _escaped(line: str) -> str:
    """Without what WebVTT takes for markup or for times."""
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
