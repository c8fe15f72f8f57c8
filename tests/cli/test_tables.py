"""Tables in terminals of all widths: nothing foreign has an effect, nothing is unreadable."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.text import Text

from mmft_core.cli.display import LineDisplay, LiveDisplay
from mmft_core.cli.tables import Column, Table, console, folded, share_out
from mmft_core.contracts.callbacks import Evaluated, TrainStart
from mmft_core.engine.evaluation import Evaluation

PATH = "/data/photographs/2026/日本語の写真/" + "very-long-folder-name/" * 3 + "IMG_0001.jpg"
LABELS = ["[red]x[/red]", "[/b]", ":smile:", "🐈 chat noir", "=cmd()", "日本語のとても長い名前"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(table: Table, width: int, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    screen = console(file=stream)
    screen.width = width
    screen.print(table)
    return stream.getvalue()


def lines(table: Table, width: int) -> list[str]:
    out = [line.rstrip() for line in shown(table, width).splitlines()]
    assert max(map(cell_len, out)) <= width
    return out


@pytest.mark.parametrize("width", [60, 80, 200])
def test_paths_are_folded_and_numbers_are_not(width: int) -> None:
    table = Table("input", "label", Column("probability", number=True))
    for label in LABELS:
        table.add(PATH, label, "0.1234")
    out = lines(table, width)
    assert out[0].split() == ["input", "label", "probability"]
    assert sum(line.endswith("0.1234") for line in out) == len(LABELS)
    joined = "".join("".join(out).split())
    for label in LABELS[:5]:
        assert "".join(label.split()) in joined or width == 60
    assert len(out) <= 1 + len(LABELS) * (-(-cell_len(PATH) // 16) + 1)


@pytest.mark.parametrize("width", [30, 60, 80])
def test_too_many_columns_become_lines(width: int) -> None:
    names = [f"column {k}" for k in range(10)]
    table = Table(*names)
    table.add(*(f"value {k} of the row" for k in range(10)))
    table.add("second", *([""] * 9))
    out = lines(table, width)
    assert out[:1] == ["column 0  value 0 of the row"]
    assert out[10:] == ["", "column 0  second"]
    assert shown(table, 400).splitlines()[0].split() == " ".join(names).split()


def test_optional_columns_are_left_out_of_narrow_terminals() -> None:
    table = Table(
        "run",
        Column("task", optional=2),
        Column("by", optional=1),
        "test",
        Column("size", optional=2),
    )
    table.add("r" * 20, "t" * 20, "loss", "0.5000", "1.0 MB")
    assert [c.name for c in table.narrowed(80).columns] == ["run", "task", "by", "test", "size"]
    assert [c.name for c in table.narrowed(60).columns] == ["run", "task", "by", "test"]
    assert [c.name for c in table.narrowed(55).columns] == ["run", "by", "test"]
    assert lines(table.narrowed(30), 30)[1].split() == ["r" * 20, "0.5000"]
    assert [c.name for c in table.narrowed(10).columns] == ["run", "test"]


def test_names_that_are_copied_are_never_broken() -> None:
    table = Table(Column("run", whole=True), "note")
    table.add("a-long-name-of-a-run", "a note of some words")
    assert lines(table, 38)[1] == "a-long-name-of-a-run  a note of some"
    assert lines(table, 30)[0] == "run   a-long-name-of-a-run"


def test_a_terminal_gets_styles_and_no_escape_sequences_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = Table("name", Column("n", number=True))
    table.add("\x1b[31mred\x1b]0;t\x07\u202e", "1", style="bold")
    table.add(Text("\x1b[2J", "green"), "2")
    out = shown(table, 80, Terminal())
    styles = set(re.findall("\x1b.*?m", out))
    assert styles and styles <= {"\x1b[1m", "\x1b[32m", "\x1b[0m"}
    assert r"\x1b[31mred\x1b]0;t\x07\u202e" in out and r"\x1b[2J" in out


def test_messages_are_literal() -> None:
    screen = console(file=(stream := io.StringIO()))
    screen.print("[bold]x[/] :smile: [/nothing] \x1b[31m\nforged", soft_wrap=True)
    assert stream.getvalue() == "[bold]x[/] :smile: [/nothing] \\x1b[31m\\nforged\n"


def test_the_width_that_there_is_is_shared_out() -> None:
    assert share_out([5, 5], [5, 5], 20) == [5, 5]
    assert share_out([5, 5], [30, 8], 20) == [12, 8]
    assert share_out([5, 5], [100, 100], 21) == [11, 10]
    assert share_out([5, 5], [5, 5], 9) is None


@pytest.mark.parametrize("width", [2, 7, 20])
@pytest.mark.parametrize("text", [PATH, "words that are short", "x" * 50, "🐈" * 10, ""])
def test_folding_loses_nothing(text: str, width: int) -> None:
    out = folded(Text(text), width).plain
    assert out.replace("\n", "") == text
    assert all(cell_len(line) <= width for line in out.split("\n"))


def test_folding_prefers_slashes_and_blanks() -> None:
    assert folded(Text("folder/other/file"), 14).plain == "folder/other/\nfile"
    assert folded(Text("some words here"), 11).plain == "some words \nhere"


def test_only_what_should_not_be_missed_is_marked() -> None:
    for kind in (LiveDisplay, LineDisplay):
        display = kind(console(file=(stream := io.StringIO())))
        display.on_info("Training computes in fp32.")
        display.on_message("2 files are left out.")
        assert stream.getvalue() == "Training computes in fp32.\n! 2 files are left out.\n"


@pytest.mark.parametrize("width", [40, 56, 80, 120])
def test_a_run_shows_as_many_figures_as_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    display = LiveDisplay(console(file=stream))
    values = dict.fromkeys(("accuracy", "top5-accuracy", "precision/macro", "f1/macro"), 0.5)
    display.on_train_start(
        TrainStart(
            step=0, total_steps=2, steps_per_epoch=1, samples=100, precision="fp32", device="cpu"
        )
    )
    for epoch, split, accuracy in ((1, "val", 0.5), (0, "test", None)):
        evaluation = Evaluation(loss=0.25, values=values | {"accuracy": accuracy})
        display.on_evaluation(
            Evaluated(step=1, epoch=epoch, split=split, evaluation=evaluation, best=epoch == 1)
        )
    display.close()
    shown = re.sub("\x1b.*?[a-zA-Z]", "", stream.getvalue()).rpartition("split")[2]
    head, val, test, *_ = shown.splitlines()
    assert "…" not in shown and max(map(cell_len, (head, val, test))) <= width
    assert ("accuracy" in head, "f1/macro" in head) == (width > 40, width == 120)
    assert "0.2500" in val and val.rstrip().endswith("best") and ("–" in test) == (width > 40)
