"""Samples that are shown beside others: found in their split, marked by more than colour."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from mmft_core.contracts import Dataset, DatasetInfo, Preview, Related
from mmft_core.engine.evaluation import Evaluation, Example
from mmft_report.collect import collect_content
from mmft_report.content import ReportContent, ReportExample, ReportRelated
from mmft_report.gallery import gallery
from mmft_report.page import render_report
from tests.report.content import digits_content, picture, results
from tests.report.test_collect import Words, finished

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='a"
HEADING = "Wrong nearest neighbour, most similar first"


def content(*related: ReportRelated, target: str = "5", preview: Preview | None = None):
    """A report with one example, beside which others stand."""
    import numpy as np

    pixels = picture(np.linspace(0, 1, 64).reshape(8, 8))
    example = ReportExample(
        id="digits[7]",
        score=0.98,
        target=target,
        prediction={},
        previews={"image": preview or pixels},
        related=related or [neighbour(pixels, True, "5"), neighbour(pixels, False, "9")],
    )
    return replace(digits_content(), examples={HEADING: [example]})


def neighbour(preview: Preview, right: bool | None, target: str) -> ReportRelated:
    return ReportRelated(
        id=f"digits[{target}]",
        score=0.875,
        right=right,
        target=target,
        previews={preview.mime.partition("/")[0]: preview},
    )


def samples(page: str) -> str:
    return page.partition('<section id="samples">')[2].partition("</section>")[0]


def test_neighbours_are_looked_up_in_the_split_that_was_judged(tmp_path: Path) -> None:
    related = (Related(id="words[0]", score=0.9, right=False), Related(id="words[2]", score=0.5))
    example = Example(0.9, "words[1]", {}, (*related, Related(id="elsewhere", score=0.1)))
    judged = Evaluation(loss=0.5, values={}, examples={HEADING: [example]}, samples=3)
    dataset = Dataset(
        info=DatasetInfo(name="words", classes=("a", "b")),
        splits={"train": Words(), "test": Words()},
    )
    of_run = results({"test": {"loss": 0.5}}, {"test": 3}, 2)
    found = collect_content(finished(tmp_path, of_run, {"test": judged}, dataset))
    (shown,) = found.examples[HEADING]
    first, gone = shown.related
    assert (first.id, first.target, first.right, first.score) == ("words[0]", "a", False, 0.9)
    assert first.previews["text"].data == b"word 0"
    assert (gone.id, dict(gone.previews)) == ("words[2]", {}), "it is shown without its input"


def test_each_neighbour_has_its_picture_class_similarity_and_verdict() -> None:
    page = samples(render_report(Path("run"), content()))
    entries = re.findall(r"<li.*?</li>", page, re.S)
    assert len(entries) == 2 and page.count("<img") == 3
    right, wrong = entries
    assert "✓ right" in right and "<b>5</b>" in right and "0.8750" in right
    assert "✗ wrong" in wrong and "<b>9</b>" in wrong, "told in words, not by colour alone"
    assert "predicted" not in page, "its record is empty"


def test_texts_are_shown_as_texts() -> None:
    asked = Preview("text/plain", b"the text that was to be found")
    other = neighbour(Preview("text/plain", b"another <b>text</b>"), False, "a query of its own")
    page = samples(render_report(Path("run"), content(other, target="query?", preview=asked)))
    assert "<pre>the text that was to be found</pre>" in page and "<b>query?</b>" in page
    assert "<pre>another &lt;b&gt;text&lt;/b&gt;</pre>" in page
    assert "<b>a query of its own</b>" not in page, "only classes are labels"


def test_names_of_neighbours_cannot_become_markup() -> None:
    nasty = ReportRelated(
        id=NASTY,
        score=0.5,
        right=False,
        target=NASTY,
        previews={NASTY: Preview("text/plain", NASTY.encode())},
    )
    info = DatasetInfo(name="x", classes=(NASTY,))
    page = render_report(Path("run"), replace(content(nasty, target=NASTY), info=info))
    assert "<script>alert" not in page and "<img src=x" not in page


def test_neighbours_share_the_room_for_previews() -> None:
    large = Preview("image/png", b"0" * 1_000_000)
    heavy = content(*[neighbour(large, True, "5")] * 2, preview=large).examples[HEADING][0]
    light: ReportContent = content()
    both = replace(light, examples={HEADING: [heavy, *light.examples[HEADING]]})
    first, second = gallery(both)[HEADING]
    assert not first.previews and not any(r.previews for r in first.related), "3 MB are too much"
    assert second.previews and all(r.previews for r in second.related)


def test_a_neighbour_is_neither_right_nor_wrong_where_that_is_not_known() -> None:
    unknown = neighbour(Preview("text/plain", b"x"), None, "5")
    page = samples(render_report(Path("run"), content(unknown)))
    assert "✓" not in page and "✗" not in page
