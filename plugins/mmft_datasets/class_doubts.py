"""What is doubtful about the names of classes: one class under two names, and numbers or times."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mmft_core.utils import is_numeric
from mmft_datasets.names import identity

_FEW = 10
"""Fewer different numbers may well be classes."""

_SAMPLES = 20
"""So may the numbers of fewer samples, as in a table that a model is evaluated on."""

_EACH, _EACH_WHOLE = 10, 2
"""With this many samples for each different number, fractions or whole, they may be classes."""

_TIMES = 1e8, 5e9
"""From 1973 to 2128, in seconds since 1970."""

_DAY = 86_400
"""Seconds of a day."""

_UNITS = {"nanoseconds": 1e9, "microseconds": 1e6, "milliseconds": 1e3, "seconds": 1.0}

_MISSING = frozenset(
    ("nan", "null", "none", "na", "n/a", "#n/a", "nat", "<na>", "-", "--", "\u2013", "\u2014", "?")
)

_TRUTH = frozenset(("true", "false", "yes", "no"))

_NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)?(\.\d*)?(e[-+]?\d+)?")


def class_doubts(counts: Mapping[str, int], where: str) -> Iterator[str]:
    """Warnings about classes.

    Args:
        counts: the samples of each class.
        where: "column 'label'", for messages.
    """
    for names in alike(list(counts)):
        yield (
            f"The classes {_listed(names)} of {where} look alike (case, spaces, invisible "
            "characters, or the form of a number). Are they one class?"
        )
    yield from _truths(list(counts), where)
    yield from _missing(counts, where)
    yield from _joined(list(counts), where)
    yield from _no_classes(counts, where)


def alike(classes: Sequence[str]) -> list[list[str]]:
    """Groups of names that may be one class, because they only differ in case, in spaces, hyphens
    and underscores, in characters that look the same, or in how a number is written."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        groups[_key(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _key(name: str) -> str:
    text = unicodedata.normalize("NFKC", identity(name)).casefold()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")  # Of no width.
    text = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text).strip()
    return _number(text) or re.sub(r"^0+(?=\d)", "", text)


def _number(text: str) -> str | None:
    """One text for all ways to write a number, a fraction with the digits that single precision
    keeps; None if it is not a number, or is too large to be exact."""
    plain = text.replace(",", "")
    if not _NUMBER.fullmatch(text) or not is_numeric(plain) or abs(float(plain)) >= 2**53:
        return None
    number = float(plain)
    return str(int(number)) if number.is_integer() else f"{number:.7g}"


def _truths(classes: Sequence[str], where: str) -> Iterator[str]:
    words = [name for name in classes if name.lower() in _TRUTH]
    digits = [name for name in classes if _key(name) in ("0", "1")]
    if words and digits:
        yield (
            f"The classes {_listed([*words, *digits])} of {where} are truth values as words and as "
            "numbers. Are some of them one class?"
        )


def _missing(counts: Mapping[str, int], where: str) -> Iterator[str]:
    codes = all(len(name) == 2 and name.isupper() for name in counts)  # NA is Namibia.
    signs = "+" in counts
    for name in counts:
        if name.lower() in _MISSING and not (codes or (signs and name in "-\u2013\u2014?")):
            yield (
                f"The class '{name}' of {where} ({counts[name]:,} samples) looks like a missing "
                "label. If it is one, leave these cells empty."
            )


def _joined(classes: Sequence[str], where: str) -> Iterator[str]:
    """Classes that are combinations of others, as if a sample could have several."""
    known = set(classes)
    for separator in ",;|":
        for name in classes:
            parts = [part.strip() for part in name.split(separator)]
            if len(parts) > 1 and known.issuperset(parts):
                yield (
                    f"The class '{name}' of {where} is made of {_listed(parts)}, which are classes "
                    "themselves. A sample with several classes is learned as one of another class."
                )
                return


def _no_classes(counts: Mapping[str, int], where: str) -> Iterator[str]:
    total, different = sum(counts.values()), len(counts)
    numbers = [float(name) for name in counts if is_numeric(name)]
    if not counts or len(numbers) < different:
        if total == different >= _SAMPLES:
            yield (
                f"Each of the {total:,} samples has a class of its own in {where}. Are these "
                "classes?"
            )
        return
    fewest = _EACH_WHOLE if all(number % 1 == 0 for number in numbers) else _EACH
    if unit := _unit_of_times(numbers):
        yield (
            f"The classes of {where}, such as '{next(iter(counts))}', look like times in "
            f"{unit} since 1970, as pandas writes dates to JSON without date_format='iso'. In "
            "other formats they have other names."
        )
    elif different >= _FEW and _SAMPLES <= total < different * fewest:
        yield (
            f"The {total:,} samples have {different:,} different numbers in {where}, which look "
            "like numbers to predict and not like classes. Tasks that predict numbers: `mmft "
            "plugins --kind task`."
        )


def _unit_of_times(numbers: Sequence[float]) -> str | None:
    """The unit in which numbers are likely times since 1970: all of them are midnights, or they are
    as large as such times are. Seconds are as small as other numbers, so only midnights count."""
    low, high = _TIMES
    for unit, second in _UNITS.items():
        days = all(n % (_DAY * second) == 0 and abs(n) < high * second for n in numbers)
        if days and any(numbers):
            return unit
        if second > 1 and all(n % 1 == 0 and low * second < n < high * second for n in numbers):
            return unit
    return None


def _listed(names: Sequence[str]) -> str:
    shown = [f"'{name}'" for name in names[:5]]
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if not more else ", ".join(shown) + more
