"""The model card: metadata that hubs can read, and text that shows names as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmft_core.contracts import DatasetInfo
from mmft_report.card import fenced, markdown, render_card, write_card
from mmft_report.content import ReportContent
from tests.report.content import digits_content

RUN = Path("runs/digits")


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Front matter and text."""
    empty, matter, text = card.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(matter), text


def test_card_tells_what_the_model_is(tmp_path: Path) -> None:
    content = digits_content()
    write_card(tmp_path, content)
    metadata, text = parts((tmp_path / "README.md").read_text(encoding="utf-8"))
    assert metadata["library_name"] == "mmft"
    assert "base_model" not in metadata, "torchvision's weights are not of the Hub"
    assert metadata["tags"] == ["mmft", "image-cls", "image"]
    assert metadata["metrics"][0] == "accuracy"
    assert metadata["data_license"] == "CC BY 4.0"
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"]["split"] == "test"
    values = {m["type"]: m["value"] for m in result["metrics"]}
    assert values["accuracy"] == pytest.approx(content.values["accuracy"], abs=1e-6)
    assert text.startswith("\n# image-cls · resnet50 · digits\n")
    assert f"| accuracy | {content.metrics['val']['accuracy']:.4f} |" in text
    assert f"mmft predict {tmp_path.name} FILES..." in text
    assert "10 classes: 0, 1, 2" in text


def test_random_weights_have_no_base_model_and_are_told() -> None:
    content = digits_content()
    weights = {"source": "random", "detail": "The hub did not answer.", "fell_back": True}
    backbones = {"image": {**content.results["backbones"]["image"], "weights": weights}}
    card = render_card(RUN, replace(content, results={**content.results, "backbones": backbones}))
    metadata, text = parts(card)
    assert "base_model" not in metadata and "trained-from-scratch" in metadata["tags"]
    assert "> **resnet50 was trained from random initialisation.**" in text
    assert "The hub did not answer." in text


def test_names_cannot_break_the_card() -> None:
    nasty = "<script>alert(1)</script> | `x` *y* [z](w)\n---\n# h: \udcff"
    content = digits_content()
    card = render_card(
        RUN,
        replace(
            content,
            title=nasty,
            results={**content.results, "command": "mmft run ```\n# not a heading"},
            info=DatasetInfo(name=nasty, classes=(nasty, "b"), licence=nasty, notes=(nasty,)),
        ),
    )
    metadata, text = parts(card)
    assert metadata["library_name"] == "mmft"
    assert "<script" not in text
    headings = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(headings) == 3, "the title, and two comments in code"
    assert "````sh\n" in text, "a longer fence around what holds a fence"
    card.encode("utf-8")


def test_missing_parts_are_left_out() -> None:
    content = ReportContent(title="t", results={}, info=DatasetInfo(name="photos"))
    metadata, text = parts(render_card(RUN, content))
    assert "metrics" not in metadata and "model-index" not in metadata
    assert "## Metrics" not in text and "## Data" in text


def test_undefined_figures_stay_out_of_the_metadata() -> None:
    content = digits_content()
    results = {**content.results, "metrics": {"test": {"accuracy": float("nan"), "f1": 0.5}}}
    metadata, text = parts(render_card(RUN, replace(content, results=results)))
    assert metadata["metrics"] == ["f1"]
    assert "| accuracy | undefined |" in text


def test_escaping() -> None:
    assert markdown("a_b *c* <d> | e\nf") == r"a_b \*c\* &lt;d&gt; \| e f"
    assert fenced("x") == "```sh\nx\n```"
