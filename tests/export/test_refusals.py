"""What cannot be exported, or is no sound export, is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core import registry
from tests.conftest import Finished
from tests.export.runs import RUNS

Mmft = Callable[..., Finished]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, one_layer: None) -> Path:
    return RUNS["text-cls"](tmp_path_factory.mktemp("refused"))


@pytest.fixture(scope="module")
def made(run: Path, quick_latencies: None) -> Path:
    from mmft_core.cli import main

    more = ("--format", "torch-export", "--samples", "2", "--batch-size", "1")
    main(["export", str(run), *more])
    return run / "export" / "torch-export"


@pytest.fixture
def export(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(made, tmp_path / "export")


def refused(found: Finished, *words: str) -> None:
    assert found.code == 2, found.out
    assert "Traceback" not in found.err
    for word in words:
        assert word in found.err


def test_what_is_found_in_the_data_is_said_once(
    run: Path, tmp_path: Path, mmft: Mmft, quick_latencies: None
) -> None:
    """Run and export both read them."""
    table = tmp_path / "long.csv"
    table.write_text("text,label\n" + "cats and dogs " * 30 + ",target 0\n", encoding="utf-8")
    more = ("--format", "torch-export", "--dataset", table, "-o", tmp_path / "export")
    found = mmft("export", run, *more)
    assert found.code == 0, found.err
    assert found.err.count("longer than") == 1


def test_changed_and_missing_files(export: Path, mmft: Mmft) -> None:
    assert mmft("predict", export, "a text").code == 0
    file = export / "model.pt2"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    refused(mmft("predict", export, "a text"), "model.pt2 is not what was written", "mmft export")
    file.unlink()
    refused(mmft("eval", export), "model.pt2 is missing", "mmft export")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"format": 2, "mmft": "9.9"}, "its format is 2, written by mmft 9.9"),
        ({"kind": "onnxx"}, "no exporter named 'onnxx'. Did you mean 'onnx'?"),
        ({"graphs": []}, "lacks the graph 'model'"),
        ({"graphs": 3}, "cannot be read"),
    ],
    ids=["version", "format", "no graph", "damage"],
)
def test_descriptions_of_another_kind(
    change: dict[str, object], sentence: str, export: Path, mmft: Mmft
) -> None:
    file = export / "export.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused(mmft("predict", export, "a text"), sentence)


def test_backends_that_an_export_is_not_for(run: Path, made: Path, mmft: Mmft) -> None:
    refused(mmft("serve", made, "--backend", "onnx"), "in the format torch-export", "--backend")
    refused(mmft("serve", run, "--backend", "onnx"), "no ONNX export", "mmft export")


def test_what_takes_a_run_takes_no_export(made: Path, tmp_path: Path, mmft: Mmft) -> None:
    before = sorted(made.rglob("*"))
    refused(mmft("export", made), "is an export, not a run")
    refused(mmft("run", "--resume", made), "is an export, not a run")
    again = mmft("run", "--task", "text-cls", "--backbone", "minilm", "-o", made)
    refused(again, "is not empty", "a new or empty folder")
    assert sorted(made.rglob("*")) == before
    refused(mmft("publish", made, "-o", tmp_path / "there"), "is an export, not a run")
    packaged = mmft("package", made, "--name", "my-net", "-o", tmp_path / "there")
    refused(packaged, "is an export, not a run", "Give the run")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "more, sentence",
    [
        (("--format", "onxx"), "Did you mean 'onnx'?"),
        (
            ("--format", "torch-export", "--quantize", "int8"),
            "--quantize int8 is for --format onnx",
        ),
        (("--format", "safetensors", "--quantize", "int8"), "not safetensors"),
        (("--set", "dataset.text_column=a"), "--set is for --dataset"),
        (("--max-drop", "-1"), "is not in the range x>=0"),
        (("--output", "FOLDER"), "exists already and is not an export"),
    ],
    ids=["format", "torch in 8 bits", "weights in 8 bits", "idle set", "negative drop", "output"],
)
def test_options_that_do_not_go_together(
    more: tuple[str, ...], sentence: str, run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    (tmp_path / "a file").write_text("kept")
    found = mmft("export", run, *(str(tmp_path) if m == "FOLDER" else m for m in more))
    refused(found, sentence)
    assert (tmp_path / "a file").read_text() == "kept"


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_packages_that_are_not_installed(
    kind: str, run: Path, export: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = registry.extra_installed
    monkeypatch.setattr(
        registry, "extra_installed", lambda d, extra: extra != kind and installed(d, extra)
    )
    found = mmft("export", run, "--format", kind)
    refused(found, f"exporter '{kind}' needs packages", f"pip install 'mmft[{kind}]'")
    assert not (run / "export" / kind).exists()
    file = export / "export.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"kind": kind}))
    refused(mmft("predict", export, "a text"), f"pip install 'mmft[{kind}]'")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("model.json", '"target 0"', '"target 9"'),
        ("assets/text/tokenizer.json", '"version"', '"Version"'),
    ],
)
def test_whatever_is_loaded_has_a_digest(
    export: Path, mmft: Mmft, name: str, old: str, new: str
) -> None:
    """Classes that are swapped, and other tokens, would be other answers without a word."""
    file = export / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    refused(mmft("predict", export, "a text"), f"{file.name} is not what was written")
    file.unlink()
    refused(mmft("predict", export, "a text"), f"{file.name} is missing")
