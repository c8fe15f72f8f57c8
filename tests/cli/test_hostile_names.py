"""Names and labels that a terminal, rich or a spreadsheet would obey, through the commands."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmft_core import MmftError
from mmft_core.cli.display import LineDisplay, LiveDisplay
from mmft_core.cli.tables import console
from mmft_core.contracts import Dataset, DatasetInfo
from mmft_core.utils.escaping import escape
from tests.conftest import Finished, run_arguments

Mmft = Callable[..., Finished]

LABELS = [
    "[red]x[/red]",
    "[/b]",
    "\x1b[31mred",
    "\u202egnp",
    "=cmd()",
    ":smile: \x9b31m",
    "a\nb",
    "<script>",
]
NAMES = ["[bold]{}[old].png", "\x1b]0;title\x07{}.png", "{}\u202e.png", "=cmd(){}.png"]
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f]")


def harmless(ended: Finished) -> str:
    """What was printed, in which nothing may have an effect."""
    for text in (ended.out, ended.err):
        assert not ACTIVE.search(text.replace("\r\n", "\n")), repr(text)  # So CSV ends lines.
        assert "Traceback" not in text
    return ended.out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: None) -> Iterator[Path]:
    """A folder with hostile pictures, a table of them, and runs on it, called as oddly."""
    from mmft_core.cli import main

    root = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(0)
    (root / "pics [old]").mkdir()
    with (root / "data.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label"])
        for k, label in enumerate(LABELS * 6):
            name = f"pics [old]/{NAMES[k % len(NAMES)].format(k)}"
            pixels = random.normal(30 * (k % len(LABELS)), 20, (32, 32, 3)).clip(0, 255)
            Image.fromarray(pixels.astype("uint8")).save(root / name, "PNG")
            rows.writerow([name, label])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for task in ("image-cls", "image-retrieval"):
            given = ("--task", task, "--dataset", "data.csv", "--set", "engine.steps=2")
            main([str(a) for a in run_arguments(Path(f"runs/[b]{task}"), *given, backbone="tiny")])
        yield root


@pytest.fixture(autouse=True)
def in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


RUN = "runs/[b]image-cls"
SWEEP = ("sweep", *run_arguments(Path("sweep [/b]"), "--dataset=data.csv", backbone="tiny")[1:])
SWEEP = (*SWEEP, "--set=engine.steps=1", "--trials=1", "--vary=engine.lr=1e-3..1e-2")


def test_run_and_dry_run(mmft: Mmft, tmp_path: Path) -> None:
    given = ("--dataset", "data.csv", "--set", "engine.steps=1")
    out = harmless(mmft(*run_arguments(tmp_path / "[red]run[⁄red]", *given, backbone="tiny")))
    assert "[red]run[⁄red]/report.html" in out
    harmless(mmft(*run_arguments(tmp_path / "x", *given, "--dry-run", backbone="tiny")))
    page = next(tmp_path.glob("*/report.html")).read_text(encoding="utf-8")
    assert "[red]x[/red]" in page and "&lt;script&gt;" in page
    assert page.count("<script>") == page.count("</script>")


def test_bad_samples_are_named(mmft: Mmft, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("image,label\n\x1b[31m[/b].png,a\n\u202e.png,b\n" * 3)
    ended = mmft(*run_arguments(tmp_path / "run", "--dataset", tmp_path / "bad.csv"))
    harmless(ended)
    assert ended.code == 2 and r"\x1b[31m[/b].png" in ended.err and r"\u202e.png" in ended.err
    assert ended.err.count("\n  ") >= 6, "a line for each"


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_predict(mmft: Mmft, form: str) -> None:
    out = harmless(mmft("predict", RUN, "pics [old]", "--format", form, "--top-k", "9"))
    shown = "".join(out.split())
    for label in LABELS:
        text = escape(label) if form == "table" else json.dumps(label)[1:-1]
        assert "".join(text.split()) in shown.replace("\\\\", "\\")
    assert "pics[old]/[bold]0[old].png" in shown


def test_predict_csv_keeps_the_data(mmft: Mmft, tmp_path: Path) -> None:
    ended = mmft("predict", RUN, "pics [old]", "--format", "csv", "--raw", "--top-k", "9")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert {row["input"] for row in rows} == {str(p) for p in Path("pics [old]").iterdir()}
    assert {row["label"] for row in rows} | {row["label_2"] for row in rows} <= set(LABELS)
    mmft("predict", RUN, "pics [old]", "--format", "csv", "-o", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_csv_on_a_terminal(mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmft_core.cli.terminal._is_terminal", lambda stream: True)
    for form in ("csv", "text"):
        harmless(mmft("predict", RUN, "pics [old]", "--format", form, "--top-k", "9"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", RUN),
        ("eval", RUN, "--json"),
        ("eval", RUN, "--dataset", "data.csv"),
        ("runs",),
        ("runs", "--json"),
        ("runs", "compare", RUN, "runs/[b]image-retrieval"),
        ("data", "check", "data.csv", "--task", "image-cls"),
        ("publish", RUN, "-o", "published [/b]"),
        ("package", RUN, "--name", "odd-package", "-o", "package [/b]"),
        ("export", RUN, "--format", "safetensors", "--samples", "4", "-o", "export [/b]"),
        SWEEP,
        ("plugins",),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands(mmft: Mmft, arguments: tuple[str, ...]) -> None:
    ended = mmft(*arguments)
    assert harmless(ended) and ended.code in (0, 1), ended.err


def test_index_and_search(mmft: Mmft, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    run, place = "runs/[b]image-retrieval", tmp_path / "[b]index"
    harmless(mmft("index", run, "pics [old]", "-o", place))
    query = next(str(p) for p in Path("pics [old]").iterdir() if "\x1b" in p.name)
    for form in ("table", "jsonl"):
        out = harmless(mmft("search", run, query, "--index", place, "--format", form))
        assert "]0;title" in out


def test_clean_and_split_are_read_again_as_they_were(mmft: Mmft, tmp_path: Path) -> None:
    with Path("data.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    bad = Path("=bad.png")
    bad.write_bytes(b"none")
    with Path("more.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", "label"])
        writer.writeheader()
        writer.writerows([*rows, {"image": str(bad), "label": "=cmd()"}])
    ended = mmft("data", "clean", "more.csv", "--task", "image-cls", "-o", "clean.csv")
    harmless(ended)
    with Path("clean.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == rows
    harmless(mmft("data", "split", "clean.csv", "--task", "image-cls", "-o", "split.csv"))
    with Path("split.csv").open(newline="", encoding="utf-8") as file:
        again = [{k: row[k] for k in ("image", "label")} for row in csv.DictReader(file)]
    assert again == rows


ESC = "\x1b[31m[/b]\u202e\nerror: forged"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--task", ESC),
        ("run", "--task", "image-cls", "--backbone", "tiny", "--dataset", ESC),
        ("run", "--task", "image-cls", "--set", f"engine.lr={ESC}"),
        ("run", "--task", "image-cls", "--set", f"{ESC}=1"),
        ("run", f"--{ESC}"),
        ("predict", RUN, ESC),
        ("predict", ESC, "x.png"),
        ("eval", RUN, "--metric", ESC),
        ("runs", ESC),
        ("runs", "compare", ESC, ESC),
        ("plugins", "show", ESC),
        ("plugins", "--modality", ESC),
        ("search", RUN, ESC),
        ("data", "check", ESC),
        (ESC,),
    ],
    ids=lambda arguments: " ".join(arguments[:2]).encode("unicode_escape").decode(),
)
def test_errors(mmft: Mmft, arguments: tuple[str, ...]) -> None:
    ended = mmft(*arguments)
    harmless(ended)
    assert ended.code in (0, 2)
    assert not re.search("^error: forged", ended.err, re.MULTILINE)


def test_errors_of_plugins(mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MmftError(f"No {ESC}.", hint=f"Give another {ESC}.")

    monkeypatch.setattr("mmft_report.runs_command.find_runs", broken)
    ended = mmft("runs")
    harmless(ended)
    assert r"\x1b[31m[/b]\u202e\nerror: forged" in ended.err and ended.code == 2


@pytest.mark.parametrize("display", [LiveDisplay, LineDisplay])
def test_the_display_of_a_run(display: type, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    callback = display(console(file=out))
    callback.on_data(Dataset(info=DatasetInfo(name="[/b]\x1b[5m", notes=("\u202e",)), splits={}))
    callback.on_message("[red]x[/red] [/b] \x1b]0;t\x07")
    callback.on_evaluation_progress("[/b]\x1b[31m", 1, 2)
    callback.on_end("finished")
    text = out.getvalue()
    assert "\x1b[5m" not in text and "\u202e" not in text and "\x1b]" not in text
    assert r"[/b]\x1b[5m" in text and "[red]x[/red] [/b]" in text
