"""Which words are wrong, and which recordings a report singles out."""

from __future__ import annotations

import pytest

from mmft_audio.alignment import TranscriptGallery, align, count_wrong
from mmft_core.contracts import Batch


@pytest.mark.parametrize(
    ("prediction", "reference", "alignment", "wrong"),
    [
        ("a b c", "a b c", [["equal", "a b c", "a b c"]], 0),
        ("a b c", "a\nb\tc", [["equal", "a b c", "a b c"]], 0),
        ("a x c", "a b c", [["equal", "a", "a"], ["substitute", "b", "x"], ["equal", "c", "c"]], 1),
        ("a c", "a b c", [["equal", "a", "a"], ["delete", "b", ""], ["equal", "c", "c"]], 1),
        ("a b b c", "a b c", None, 1),
        ("", "a b", [["delete", "a b", ""]], 2),
        ("a b", "", [["insert", "", "a b"]], 2),
        ("", "", [], 0),
    ],
)
def test_alignments(prediction: str, reference: str, alignment: object, wrong: int) -> None:
    found = align(prediction, reference)
    assert alignment is None or found == alignment
    assert count_wrong(found) == wrong


def make_gallery(size: int, pairs: dict[str, tuple[str, str]]) -> TranscriptGallery:
    gallery = TranscriptGallery(size)
    for name, (prediction, reference) in pairs.items():
        gallery.update(Batch({}, None, [name]), [{"text": prediction}], {"text": [reference]})
    return gallery


PAIRS = {
    "right": ("a b", "a b"),
    "one of four": ("a b c x", "a b c d"),
    "one of two": ("a x", "a b"),
    "three": ("x y z", "a b c"),
}


def test_the_worst_come_first_and_the_right_ones_not_at_all() -> None:
    (examples,) = make_gallery(3, PAIRS).examples().values()
    assert [e.id for e in examples] == ["three", "one of two", "one of four"]
    assert examples[0].prediction["errors"] == "3 of 3 words"
    assert examples[1].prediction["alignment"] == [["equal", "a", "a"], ["substitute", "b", "x"]]
    (few,) = make_gallery(1, PAIRS).examples().values()
    assert [e.id for e in few] == ["three"]


def test_galleries_of_several_processes_are_merged() -> None:
    first = make_gallery(2, {k: PAIRS[k] for k in ("one of four", "right")})
    first.merge(make_gallery(2, {k: PAIRS[k] for k in ("three", "one of two")}).state())
    (examples,) = first.examples().values()
    assert [e.id for e in examples] == ["three", "one of two"]
