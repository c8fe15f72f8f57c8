"""The report: whole by itself, safe whatever names hold, and sound where parts are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_core.contracts import DatasetInfo, LearnedPart, Preview, ShownToken
from mmft_core.errors import StorageError
from mmft_report.classes import class_table
from mmft_report.content import ReportContent, ReportExample, ReportLearned
from mmft_report.curves import curves, smoothed
from mmft_report.findings import banners, figures, headline
from mmft_report.gallery import gallery
from mmft_report.matrices import heat_maps
from mmft_report.page import render_report, write_report
from mmft_report.svg import thin, ticks
from tests.report.content import digits_content, picture, results, wide_content

RUN = Path("runs/digits")
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='a"


class Page(HTMLParser):
    """What a browser would make of a page."""

    VOID = ("meta", "link", "img", "input", "br", "line", "polyline", "circle")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def page(content: ReportContent) -> Page:
    return Page(render_report(RUN, content))


def with_results(content: ReportContent, **changes: Any) -> ReportContent:
    return replace(content, results={**content.results, **changes})


def test_report_shows_the_whole_run(tmp_path: Path) -> None:
    content = digits_content()
    write_report(tmp_path, content)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = Page(html)
    accuracy = content.metrics["test"]["accuracy"]
    assert accuracy > 0.9, "the content should be of a model that has learned"
    for expected in (
        f"accuracy on the test split {accuracy:.4f}",
        "measured on 270 samples",
        "Loss",
        "Learning rate",
        "Accuracy on val",
        "Confusion matrix",
        "Most wrong",
        "Most confident",
        "CC BY 4.0",
        "ResNet50_Weights.IMAGENET1K_V2",
        "label_smoothing",
        "2 min 14 s",
        "torch",
        f"mmft predict {tmp_path.name} FILES...",
        content.results["command"],
    ):
        assert expected in shown.words, expected
    assert str(tmp_path) not in html, "a place on this machine is nobody's business"
    assert len(shown.all("svg")) == 7
    pictures = [a for a in shown.all("img") if a["src"].startswith("data:image/png;base64,")]
    assert len(pictures) == sum(len(examples) for examples in content.examples.values())
    assert len(html) < 500_000


@pytest.mark.parametrize("classes", [10, 60])
def test_report_refers_to_nothing_outside(classes: int) -> None:
    html = render_report(RUN, digits_content() if classes == 10 else wide_content(classes))
    shown = Page(html)
    for tag, attributes in shown.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                assert value.startswith(("data:", "#")), (tag, name, value)
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style[1])
    assert "://" not in html
    policy = shown.all("meta")[1]["content"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_names_cannot_become_markup() -> None:
    digits = digits_content()
    example = ReportExample(
        id=NASTY,
        score=1.0,
        target=NASTY,
        prediction={"label": NASTY, "probability": 0.5, "top": [{"label": NASTY, "p": 0.5}]},
        previews={
            NASTY: Preview("text/html", NASTY.encode()),
            "b": Preview('image/png" onerror="alert(1)', b"x"),
            "c": Preview("application/pdf", b"x"),
        },
    )
    for classes in (2, 60):
        wide = wide_content(classes)
        data = dict(wide.results["dataset"], skipped=[{"id": NASTY, "reason": NASTY}])
        names = tuple(f"{NASTY}{i}" for i in range(classes))
        content = replace(
            with_results(wide, dataset=data, command=NASTY, task=NASTY),
            title=NASTY,
            info=DatasetInfo(name=NASTY, classes=names, source=NASTY, notes=(NASTY,)),
            config={NASTY: {NASTY: NASTY}},
            examples={NASTY: [example]},
            history=[{**record, NASTY: 0.5} for record in digits.history],
        )
        shown = Page(render_report(Path(NASTY), content))
        assert [s.get("type") for s in shown.all("script")].count(None) == 1
        assert not [a for _, attributes in shown.tags for a in attributes if a.startswith("on")]
        assert all(image["src"].startswith("data:") for image in shown.all("img"))
        assert "alert(1)" in shown.words, "it is shown as what it is"


def test_names_that_are_no_unicode_can_be_written(tmp_path: Path) -> None:
    content = replace(digits_content(), title="photos/\udcff.jpg")
    write_report(tmp_path, content)
    assert "photos/?.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_full_or_closed_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError):
        write_report(tmp_path, digits_content())


def test_what_is_missing_is_left_out() -> None:
    nothing = ReportContent(title="t", results={}, info=DatasetInfo(name="photos"))
    assert "No metrics" in page(nothing).words
    digits = digits_content()
    bare = replace(digits, info=DatasetInfo(name="x"), examples={}, history=(), config={})
    words = page(bare).words
    assert "Learning rate" not in words and "Confusion" not in words and "Most" not in words
    val = digits.metrics["val"]
    words = page(with_results(digits, metrics={"val": val})).words
    assert "accuracy on the val split" in words and "There was no test split" in words


def test_undefined_figures_are_shown_as_such() -> None:
    nan = float("nan")
    values = {
        "loss": nan,
        "accuracy": nan,
        "f1/per-class": [nan, None, 0.5],
        "confusion-matrix": [[nan, 0, 1], [0, 0, 0], [-1, 2, 0]],
    }
    content = replace(
        digits_content(),
        results=results({"test": values}, {"test": 4}, 3),
        info=DatasetInfo(name="x", classes=("a", "b", "c")),
        history=[
            {"step": 1, "epoch": 0, "loss": nan, "lr": 0.1},
            {"step": 2, "epoch": 0, "loss": 1.0, "lr": 0.1},
            {"step": 2, "epoch": 0, "split": "val", "best": True, "loss": nan, "accuracy": 0.5},
        ],
    )
    shown = page(content)
    assert "accuracy on the test split undefined" in shown.words
    assert [line["points"] for line in shown.all("polyline") if "nan" in line["points"]] == []
    table = class_table(values, "abc", 4)
    assert table is not None
    assert [row.name for row in table.rows] == ["c", "a", "b"], "undefined ones come last"


def test_banners_tell_what_the_figures_are_worth() -> None:
    digits = digits_content()
    assert banners(digits) == []
    part = digits.results["backbones"]["image"]
    weights = {"source": "random", "detail": "hub.example did not answer.", "fell_back": True}
    content = with_results(
        digits,
        ending="interrupted",
        backbones={"image": {**part, "weights": weights}},
        dataset={
            **digits.results["dataset"],
            "synthetic": True,
            "skipped": [
                {"id": f"{i}.jpg", "reason": "image file is truncated"} for i in range(300)
            ],
        },
    )
    words = page(content).words
    for expected in (
        "This run was interrupted",
        "trained from random initialisation",
        "hub.example did not answer.",
        "The data are synthetic",
        "300 samples left out",
        "7.jpg: image file is truncated",
        "and 100 more",
    ):
        assert expected in words, expected


def test_headline_falls_back_to_the_loss() -> None:
    values = {"test": {"loss": 0.5, "accuracy": [0.1, 0.2]}}
    found = headline(with_results(digits_content(), metrics=values))
    assert found is not None and (found.name, found.value) == ("loss", "0.5000")


def test_figures_have_a_cell_for_each_split() -> None:
    metrics = {"val": {"a": 0.5, "v": [1.0]}, "test": {"a": 0.25, "b": 1e-7, "n": 123456}}
    assert figures(metrics) == [
        ("a", ["0.5000", "0.2500"]),
        ("b", ["–", "1.00e-07"]),
        ("n", ["–", "123,456"]),
    ]


@pytest.mark.parametrize(
    ("classes", "numbers", "picture"), [(2, True, False), (30, False, False), (80, False, True)]
)
def test_matrices_are_shown_by_their_size(classes: int, numbers: bool, picture: bool) -> None:
    content = wide_content(classes, per_class=20)
    (shown,) = heat_maps(content.values, content.info.classes)
    assert (shown.numbers, shown.picture is not None) == (numbers, picture)
    matrix = np.array(content.values["confusion-matrix"])
    np.fill_diagonal(matrix, 0)
    assert float(shown.confused[0].value) == matrix.max()


def test_a_matrix_of_another_size_is_no_matrix_over_classes() -> None:
    assert heat_maps({"a": [[1.0, 2.0]], "b": [[1.0], [2.0]], "c": 0.5}, ("x", "y")) == []


def test_each_class_worst_first_with_what_it_is_taken_for() -> None:
    values: Mapping[str, Any] = {
        "recall/per-class": [1.0, 0.5, 0.75],
        "confusion-matrix": [[4, 0, 0], [1, 2, 1], [0, 1, 3]],
        "other": [1.0, 2.0],
    }
    table = class_table(values, ("a", "b", "c"), samples=12)
    assert table is not None
    assert table.columns == ["recall"]
    assert [(r.name, r.samples, r.mistaken) for r in table.rows] == [
        ("b", "4", "a (1)"),
        ("c", "4", "b (1)"),
        ("a", "4", ""),
    ]
    table = class_table(values, ("a", "b", "c"), samples=13)
    assert table is not None and not table.counted, "the matrix does not count every sample"


def test_a_thousand_classes_are_small_enough() -> None:
    content = wide_content(1000)
    noise = np.random.default_rng(0)
    examples = [
        replace(e, previews={"image": picture(noise.random((96, 96)))})
        for e in content.examples["Most confident"] * 20
    ]
    dense = {**content.values, "confusion-matrix": noise.integers(1, 99, (1000, 1000)).tolist()}
    content = replace(
        with_results(content, metrics={"test": dense}), examples={"Most wrong": examples}
    )
    html = render_report(RUN, content)
    assert 3_000_000 < len(html) < 5_000_000
    assert html.count("data:image") < len(examples), "not all pictures have room"


def test_cards_show_any_record() -> None:
    records: list[dict[str, Any]] = [
        {"label": "cat", "probability": 0.75, "top": [{"label": "cat", "probability": 0.75}]},
        {"text": "a long answer", "bleu": 0.5},
        {"value": 3.5},
        {"matches": [{"id": "x", "score": 12.0}]},
        {"answer": "", "f1": 0.0},
        {},
    ]
    content = ReportContent(
        title="t",
        results={},
        info=DatasetInfo(name="x", classes=("cat", "dog")),
        examples={
            "Odd": [
                ReportExample(id=str(i), score=1.0, target="cat", prediction=record)
                for i, record in enumerate(records)
            ]
        },
    )
    (cards,) = gallery(content).values()
    assert [c.prediction for c in cards][:3] == ["cat", "a long answer", "3.5000"]
    assert cards[0].right is True and cards[0].bars == [("cat", 0.75, True)]
    assert cards[0].details == [] and cards[1].details == [("bleu", "0.5000")]
    assert "x" in cards[3].prediction and cards[3].bars == []
    assert [c.prediction for c in cards][4:] == ["(empty)", ""]
    assert "a long answer" in page(content).words


def test_previews_by_mime_type() -> None:
    example = ReportExample(
        id="1",
        score=0.0,
        target="t",
        prediction={"text": "p"},
        previews={
            "image": Preview("image/jpeg", b"j"),
            "audio": Preview("audio/wav", b"w"),
            "text": Preview("text/plain; charset=utf-8", "grüße".encode()),
            "video": Preview("video/mp4", b"v"),
        },
    )
    content = ReportContent(
        title="t", results={}, info=DatasetInfo(name="x"), examples={"All": [example]}
    )
    shown = page(content)
    assert [i["src"] for i in shown.all("img")] == ["data:image/jpeg;base64,ag=="]
    assert [a["src"] for a in shown.all("audio")] == ["data:audio/wav;base64,dw=="]
    assert "grüße" in shown.words


def test_curves_of_a_long_training_stay_small() -> None:
    history = [
        {"step": i, "epoch": 0, "loss": 2 / i + 0.1 * (i % 7), "lr": 1e-3} for i in range(1, 50_001)
    ]
    charts = curves(history)
    assert [chart.title for chart in charts] == ["Loss", "Learning rate"]
    assert sum(len(chart.svg) for chart in charts) < 30_000


def test_thinning_keeps_extremes_and_ends() -> None:
    points = [(float(i), 0.0) for i in range(5000)]
    points[1234] = (1234.0, 9.0)
    kept = thin(points)
    assert (1234.0, 9.0) in kept and kept[0] == points[0] and kept[-1] == points[-1]
    assert kept == sorted(kept) and len(kept) < 400


def test_smoothing_is_unbiased_at_its_start() -> None:
    points = [(float(i), 3.0) for i in range(100)]
    assert [y for _, y in smoothed(points)] == pytest.approx([3.0] * 100)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.91, 0.99, [0.92, 0.94, 0.96, 0.98]),
        (0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_samples_that_chose_the_model_are_told_if_they_are_not_all() -> None:
    content = digits_content()
    monitor, total = content.section("monitor"), content.section("dataset")["samples"]["val"]
    assert "best accuracy on val" in page(content).words
    some = with_results(content, monitor={**monitor, "samples": total})
    assert "best accuracy on val" in page(some).words
    some = with_results(content, monitor={**monitor, "samples": 20})
    assert f"best accuracy over 20 of {total} val samples" in page(some).words


def test_kinds_of_samples_have_a_table() -> None:
    kinds = {"test": {"easy": {"samples": 7, "accuracy": 1.0}, "hard": {"samples": 3}}}
    words = page(with_results(digits_content(), kinds=kinds)).words
    assert "Each kind of sample" in words
    assert words.index("easy") < words.index("hard"), "the undefined comes last"


def test_a_conversation_is_shown_turn_by_turn() -> None:
    """What one side shows and says stands together, and nothing of it is code."""
    views = {
        "chat": Preview("image/png", b"x", "user"),
        "chat 2": Preview("text/plain", b"<b>What is it?</b>", "user"),
        "chat 3": Preview("audio/wav", b"y", "assistant"),
    }
    example = ReportExample(
        id="row 1", score=1.0, target="a cat", prediction={"answer": "a dog"}, previews=views
    )
    content = replace(digits_content(), examples={"Worst": [example]})
    (card,) = gallery(content)["Worst"]
    assert [(turn.label, len(turn.parts)) for turn in card.turns] == [("user", 2), ("assistant", 1)]
    assert not card.previews
    html = render_report(Path("run"), content)
    assert "<pre>&lt;b&gt;What is it?&lt;/b&gt;</pre>" in html
    assert html.count('class="said') == 2


def test_learned_tokens_are_coloured() -> None:
    tokens = (ShownToken("<image>", False, 16), ShownToken("<b>", True))
    learned = [ReportLearned(id="row 1", parts=[LearnedPart("user", tokens)])]
    learned.append(ReportLearned(id="row 2", why_not="it is empty"))
    html = render_report(Path("run"), replace(digits_content(), learned=learned))
    assert "<span>&lt;image&gt;</span><small>×16</small>" in html
    assert '<span class="on" title="learned">&lt;b&gt;</span>' in html
    assert "17 tokens" in html and "It cannot be used: it is empty." in html
