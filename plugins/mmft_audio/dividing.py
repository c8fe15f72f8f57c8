"""Which words of a transcript are said in which segment of its recording.

A recognizer writes down each segment. Its words are aligned with the transcript's, and a transcript
is divided where the words on both sides of a cut are recognized and stand next to each other in it
(after Moreno et al., 1998, "A Recursive Algorithm for the Forced Alignment of Very Long Audio
Segments"). So the recognizer need not hear everything rightly, and no time of a word is guessed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import jiwer
import regex

_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*|"
    r"(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])\S)+"
)
"""A word; of scripts that do not part words, a character."""

_SOUNDED = regex.compile(r"[^\p{L}\p{N}\p{M}]+")

_OPENING = regex.compile(r"[\p{Ps}\p{Pi}¿¡]++(?=\S)|(?<!\S)[\p{Ps}\p{Pi}¿¡]++\s+")
"""Marks that open what follows: next to it, or alone. Some of them close in other languages, and
are then next to the word before."""

_MOST_WRONG = 0.5
"""Of the words of a piece that need not be recognized, at most."""

_FEW = 3
"""Of fewer words nothing can be said."""


@dataclass(frozen=True)
class Words:
    """The words of a text.

    Attributes:
        spans: where each stands, (start, end).
        keys: what is compared of each: letters and digits.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """Find the words of a text.

        Characters without a letter or digit belong to the preceding word, except opening marks.
        """
        opened = {match.end(): match.start() for match in _OPENING.finditer(text)}
        spans: list[tuple[int, int]] = []
        keys: list[str] = []
        for match in _WORD.finditer(text):
            key = _SOUNDED.sub("", unicodedata.normalize("NFKC", match.group()).casefold())
            if key:
                start, end = match.span()
                spans.append((opened.get(start, start), end))
                keys.append(key)
        return cls(text, tuple(spans), tuple(keys))

    def part(self, first: int, last: int) -> str:
        """The text of the words from one to another, with all that stands between them."""
        if first == last:
            return ""
        start = self.spans[first][0] if first else 0
        end = self.spans[last][0] if last < len(self.spans) else len(self.text)
        return self.text[start:end].strip()


@dataclass(frozen=True)
class Division:
    """Where a transcript can be divided.

    Attributes:
        places: by bound of the segments, how many of its words are said before; None where that
            cannot be told.
        heard: by bound, how many words were recognized before.
        matched: the words of the transcript that were recognized, by number, with the number of
            the recognized word.
    """

    places: tuple[int | None, ...]
    heard: tuple[int, ...]
    matched: dict[int, int]

    def mismatch(self, first: int, last: int) -> bool:
        """Whether what is heard between two bounds is something else than its words."""
        start, end = self.places[first], self.places[last]
        assert start is not None and end is not None
        spoken = range(self.heard[first], self.heard[last])
        right = sum(1 for word in range(start, end) if self.matched.get(word) in spoken)
        count = max(end - start, len(spoken))
        return count >= _FEW and count - right > _MOST_WRONG * count


def divide(transcript: Words, recognized: Sequence[str]) -> Division:
    """Find where a transcript can be divided.

    Args:
        recognized: what is heard in each segment.
    """
    segments = [Words.of(text).keys for text in recognized]
    heard = (0, *accumulate(map(len, segments)))
    spoken = [key for keys in segments for key in keys]
    matched = _matches(transcript.keys, spoken)
    backward = _matches(transcript.keys[::-1], spoken[::-1])
    last = len(transcript.keys) - 1, len(spoken) - 1
    mirrored = {last[0] - word: last[1] - own for word, own in backward.items()}
    # Where words come again, an alignment from the end may find others; then nothing is certain.
    sure = {own: word for word, own in matched.items() if mirrored.get(word) == own}
    sure |= {-1: -1, len(spoken): len(transcript.keys)}
    places: list[int | None] = []
    for count in heard:
        before, after = sure.get(count - 1), sure.get(count)
        certain = before is not None and after == before + 1
        places.append(after if certain else None)
    places[0], places[-1] = 0, len(transcript.keys)
    return Division(tuple(places), heard, matched)


def _matches(reference: Sequence[str], spoken: Sequence[str]) -> dict[int, int]:
    """The words of a reference that were spoken, by number, with the number of the spoken word."""
    if not reference or not spoken:
        return {}
    found = jiwer.process_words(" ".join(reference), " ".join(spoken))
    pairs: dict[int, int] = {}
    for run in found.alignments[0]:
        if run.type == "equal":
            pairs |= zip(
                range(run.ref_start_idx, run.ref_end_idx),
                range(run.hyp_start_idx, run.hyp_end_idx),
                strict=True,
            )
    return pairs


def choose_bounds(
    bounds: Sequence[float], places: Sequence[int | None], longest: float
) -> list[int] | int:
    """Choose bounds that make few pieces of like lengths, all of them with words if that can be.

    Args:
        bounds: of the segments, in seconds.
        places: as `Division` has them.
        longest: of a piece, in seconds.

    Returns:
        the numbers of the bounds, the first and the last among them; or the number of the bound
        from which none can be reached.
    """
    open_bounds = [k for k, place in enumerate(places) if place is not None]
    cost: dict[int, tuple[int, int, float]] = {0: (0, 0, 0.0)}
    before: dict[int, int] = {}
    for number, here in enumerate(open_bounds[1:], start=1):
        for start in reversed(open_bounds[:number]):
            seconds = bounds[here] - bounds[start]
            if seconds > longest:
                break
            if start in cost:
                wordless, pieces, square = cost[start]
                own = (wordless + (places[here] == places[start]), pieces + 1, square + seconds**2)
                if here not in cost or own < cost[here]:
                    cost[here], before[here] = own, start
    end = len(bounds) - 1
    if end not in cost:
        return max(cost)
    chosen = [end]
    while chosen[-1]:
        chosen.append(before[chosen[-1]])
    return chosen[::-1]
