"""CSV and TSV as people have them: encodings, line ends, separators, quotes, headers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmft_core.errors import ConfigError, DataError
from mmft_tables.tables import Table
from tests.conftest import Finished
from tests.tables.tools import Contents, compress, contents, inputs, readers, write

Mmft = Callable[..., Finished]
LABELS = ["good" if k % 2 else "bad" for k in range(12)]
TEXTS = [f"Number {k} of the texts is größer" for k in range(12)]
LINES = ["text,label", *(f"{t},{label}" for t, label in zip(TEXTS, LABELS, strict=True))]


def read(path: Path, content: str | bytes, **options: Any) -> Contents:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return contents("text-table", path, **options)


@pytest.fixture(params=readers())
def reader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ENCODED = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "big utf-16 without a mark": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "old mac's line ends": lambda text: text.replace("\n", "\r").encode(),
    "mixed line ends": lambda text: text.replace("\n", "\r\n", 5).encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "blank lines at the end": lambda text: (text + "\n\n").encode(),
}


@pytest.mark.parametrize("how", ENCODED)
def test_encodings_and_line_ends(reader: str, tmp_path: Path, how: str) -> None:
    plain = write(tmp_path / "plain.csv", inputs(reader, tmp_path, 12) | {"label": LABELS})
    expected = contents(reader, plain)
    text = plain.read_text(encoding="utf-8")
    if "line ends" in how:  # Those within cells are not the file's.
        text = text.replace("two\nlines", "two lines")
        plain.write_text(text, encoding="utf-8")
        expected = contents(reader, plain)
    other = tmp_path / "other.csv"
    other.write_bytes(ENCODED[how](text))
    found = contents(reader, other)
    assert (found.inputs, found.targets) == (expected.inputs, expected.targets)
    assert found.warnings == ()


def test_another_encoding_is_told_by_line(tmp_path: Path) -> None:
    content = "text,label\na b,x\nKäse,y\n".encode("latin-1")
    with pytest.raises(DataError, match=r"t\.csv, line 3: byte 0xe4 is not UTF-8.*iconv"):
        read(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=r"t\.csv\.gz, line 3: byte 0xe4"):
        read(tmp_path / "t.csv.gz", gzip.compress(content))
    with pytest.raises(DataError, match="cannot be decoded as utf-16"):
        read(tmp_path / "t.csv", "text,label\na b,x".encode("utf-16") + b"\x00")


@pytest.mark.parametrize(
    "content, said",
    [
        (gzip.compress(b"text,label\n"), "compressed by gzip"),
        (b"PK\x03\x04 and more", "an Excel workbook"),
        (b"PAR1 and more", "a Parquet file"),
    ],
    ids=["gzip", "xlsx", "parquet"],
)
def test_another_format_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"t.csv is not text: it is .*{said}"):
        read(tmp_path / "t.csv", content)


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path = compress(tmp_path / "t.csv.gz", "\n".join(LINES).encode())
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"t\.csv\.gz cannot be unpacked"):
        contents("text-table", path)
    path.write_text("text,label\n")
    with pytest.raises(DataError, match=r"t\.csv\.gz is not compressed by gzip.*Remove \.gz"):
        contents("text-table", path)


@pytest.mark.parametrize(
    "separator, name", [(";", "semicolons"), ("\t", "tabs"), ("|", "pipes"), (",", "")]
)
def test_separators_are_found(reader: str, tmp_path: Path, separator: str, name: str) -> None:
    own = inputs(reader, tmp_path, 12) | {"label": LABELS, "note": ["1,5"] * 12}
    expected = contents(reader, write(tmp_path / "plain.csv", own))
    path = tmp_path / "other.csv"
    pd.DataFrame(own).to_csv(path, sep=separator, index=False)
    found = contents(reader, path)
    assert (found.inputs, found.targets) == (expected.inputs, expected.targets)
    assert [n for n in found.notes if "separated" in n] == (
        [f"cells are separated by {name}"] if name else []
    )


def test_separators_that_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = ["text: label", *(f"the word {k}:{'xy'[k % 2]}" for k in range(8))]
    found = read(path, "\n".join(lines), separator=":", target_column="label")
    assert found.classes == ("x", "y")
    for given in ("tab", "\\t", "\t"):
        found = read(path, "\n".join(LINES).replace(",", "\t"), separator=given)
        assert found.targets == LABELS
    with pytest.raises(ConfigError, match="dataset.separator = '::' is not valid"):
        read(path, "\n".join(LINES), separator="::")
    with pytest.raises(DataError, match="with semicolons between cells the header 'text,label'"):
        read(path, "\n".join(LINES), separator=";")


@pytest.mark.parametrize("separator", [";", ",", "|"])
def test_the_separator_that_a_spreadsheet_states(tmp_path: Path, separator: str) -> None:
    lines = [f"sep={separator}", *(line.replace(",", separator) for line in LINES)]
    content = "\r\n".join(lines).encode("utf-8-sig")
    assert read(tmp_path / "t.csv", content).targets == LABELS
    lines[5] += f"{separator}more"
    with pytest.raises(DataError, match="line 6: 3 cells, but the header has 2"):
        read(tmp_path / "t.csv", "\n".join(lines))


def test_semicolons_with_a_comma_in_the_header(tmp_path: Path) -> None:
    content = "text;label;height, in m\none two;a;1,5\nthree four;b;2\nfive six;a;\n"
    assert read(tmp_path / "t.csv", content).targets == ["a", "b", "a"]


DIVIDED = {
    "a comma in all lines": ("text, long;label", [f"one, {k};{'ab'[k % 2]}" for k in range(6)]),
    "decimal commas": ("text|height, m|label", [f"t{k}|1,{k}|{'ab'[k % 2]}" for k in range(6)]),
    "commas before more cells": ("a, b, text;label", [f"x, y, z{k};{k}" for k in range(6)]),
}


@pytest.mark.parametrize("case", DIVIDED)
def test_commas_that_are_text_in_header_and_rows(tmp_path: Path, case: str) -> None:
    header, rows = DIVIDED[case]
    separator = "|" if "|" in header else ";"
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *rows]))
    table = Table(path)
    assert list(table.columns) == header.split(separator)
    assert table.column(table.columns[-1]) == [row.split(separator)[-1] for row in rows]


@pytest.mark.parametrize(
    "lines",
    [
        ["text,label", *(f"one; {k},a" for k in range(6))],
        ["text,label", *(f"one;{k},a" for k in range(6))],
        ["a,b,c,d;e", *(f"1,2,3,{k};5" for k in range(6))],
        ["text, label", *(f"one {k}, a" for k in range(6))],
    ],
)
def test_commas_that_divide_beside_other_marks(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    assert list(Table(path).columns) == [name.strip() for name in lines[0].split(",")]


def test_a_table_of_one_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text\n"Well, one"\ntwo; three\n')
    assert Table(path).column("text") == ["Well, one", "two; three"]


# --- quotation marks ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["tsv", "csv", "tsv.gz"])
def test_between_tabs_a_stray_quotation_mark_is_text(tmp_path: Path, suffix: str) -> None:
    lines = "\n".join(LINES).replace(",", "\t").split("\n")
    for row in (3, 8):
        lines[row] = '"' + lines[row]
    content = "\n".join(lines).encode()
    found = read(
        tmp_path / f"t.{suffix}", gzip.compress(content) if suffix.endswith("gz") else content
    )
    assert found.targets == LABELS
    assert found.inputs == [('"' if k in (2, 7) else "") + text for k, text in enumerate(TEXTS)]
    assert (
        "quotation marks that do not enclose a cell are read as text, in 2 rows from line 4 on"
        in found.notes
    )


def test_between_tabs_marks_that_open_and_close_in_two_cells_are_text(tmp_path: Path) -> None:
    rows = [f"{k}.mp3\tgood film\tthe end\tx" for k in range(12)]
    rows[2] = '2.mp3\t"good film\tthe end"\tx'
    rows[7] = '7.mp3\t"good "film\tthe end"\tx'  # Misquoted besides.
    path = tmp_path / "t.tsv"
    for more in ([], ['8.mp3\t"in two\nlines"\tthe end\tx']):
        path.write_text("\n".join(["path\ttext\tmore\tlabel", *rows, *more]))
        table = Table(path)
        assert table.column("text")[:3] == ["good film", "good film", '"good film']
        assert table.column("more")[2] == 'the end"' and table.column("label") == ["x"] * len(table)
        assert len(table) == 12 + len(more)
        (note,) = [note for note in table.notes if "quotation marks" in note]
        assert "in 2 rows from line 4 on" in note


def test_between_tabs_a_cell_within_marks_may_hold_tabs(tmp_path: Path) -> None:
    rows = [f'"a\ttab {k}"\t{"xy"[k % 2]}' for k in range(12)]
    path = tmp_path / "t.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]))
    assert Table(path).column("text") == [f"a\ttab {k}" for k in range(12)]
    rows[4] = '"a tab in\ttoo many"\tcells\tx'
    path.write_text("\n".join(["text\tlabel", *rows]))
    with pytest.raises(DataError, match="line 6: 3 cells, but the header has 2"):
        Table(path)


def test_between_tabs_a_pair_of_marks_in_two_rows_swallows_none(tmp_path: Path) -> None:
    lines = "\n".join(LINES).replace(",", "\t").split("\n")
    lines[3], lines[8] = '"' + lines[3], lines[8].replace("\t", '"\t')
    assert read(tmp_path / "t.tsv", "\n".join(lines)).targets == LABELS


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_rows_of_one_column_that_may_be_swallowed_are_told(tmp_path: Path, form: str) -> None:
    lines = ["text", *(f"A remark of number {k}" for k in range(24))]
    lines[4], lines[7] = '"' + lines[4], lines[7] + '"'
    path = tmp_path / f"t.{form}"
    path.write_text("\n".join(lines))
    assert any("line 5" in w and "could be a row" in w for w in Table(path).warnings)
    lines = ["label", *("cat" if k % 2 else "dog" for k in range(24))]
    lines[4], lines[8] = '"' + lines[4], lines[8] + '"'
    path.write_text("\n".join(lines))
    if form == "csv":
        with pytest.raises(DataError, match="line 5: .* it holds rows"):
            Table(path)
    else:
        assert len(Table(path)) == 24


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_texts_of_several_lines_in_one_column_are_read(tmp_path: Path, form: str) -> None:
    texts = [f'Number {k}\nand its "second" line' for k in range(24)]
    table = Table(write(tmp_path / f"t.{form}", {"text": texts}))
    assert table.column("text") == texts and table.warnings == ()


def test_between_tabs_cells_of_several_lines_are_read(tmp_path: Path) -> None:
    texts = [f'line {k}\n\nand "another", and\tmore' for k in range(6)]
    texts += [f"a\ttab {k}\nin its first line" for k in range(6)]
    path = write(tmp_path / "t.tsv", {"text": texts, "label": ["a", "b"] * 6})
    assert contents("text-table", path).inputs == texts


@pytest.mark.parametrize("closing", [None, 4, 9])
def test_between_commas_an_unclosed_quotation_mark_is_told_by_its_line(
    tmp_path: Path, closing: int | None
) -> None:
    lines = list(LINES)
    lines[3] = '"' + lines[3]
    if closing == 9:
        lines[9] = lines[9].replace(",", '",')
    if closing == 4:  # The next mark opens a cell, properly.
        lines[4] = '"' + lines[4].replace(",", '",')
    with pytest.raises(DataError, match=r"t\.csv, line 4: a quotation mark opens a cell that"):
        read(tmp_path / "t.csv", "\n".join(lines))


def test_two_rows_that_could_be_one_cell_are_told(tmp_path: Path) -> None:
    lines = list(LINES)
    lines[3], lines[4] = '"' + lines[3], lines[4].replace(",", '",')
    found = read(tmp_path / "t.csv", "\n".join(lines))
    assert any("t.csv, line 4" in w and "could be a row" in w for w in found.warnings)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_between_commas_cells_of_several_lines_are_read(tmp_path: Path, ends: str) -> None:
    texts = [
        f'Number {k}, with a comma{ends}second "line", with{ends}a comma,{ends}{ends}and a gap'
        for k in range(12)
    ]
    path = tmp_path / "t.csv"
    pd.DataFrame({"text": texts, "label": LABELS}).to_csv(path, index=False, lineterminator=ends)
    found = contents("text-table", path)
    assert found.inputs == texts and found.warnings == ()


def test_marks_that_enclose_a_part_of_a_cell_are_text(tmp_path: Path) -> None:
    content = 'text,label\n"Great" film,good\n"a, b",bad\nthe "best",good\n'
    found = read(tmp_path / "t.csv", content)
    assert found.inputs == ['"Great" film', "a, b", 'the "best"']
    assert (
        "quotation marks that do not enclose a cell are read as text, in 1 rows from line 2 on"
        in found.notes
    )


# --- headers and odd rows -----------------------------------------------------------------------


@pytest.mark.parametrize("index", ["plain", "filtered", "named again", "two levels"])
def test_an_index_of_pandas_is_left_out(reader: str, tmp_path: Path, index: str) -> None:
    frame = pd.DataFrame(inputs(reader, tmp_path, 12) | {"label": LABELS})
    expected = contents(reader, write(tmp_path / "plain.csv", frame.to_dict("list")))
    path = tmp_path / "t.csv"
    if index == "filtered":
        frame.index = [3 * k + 1 for k in range(12)]
    if index == "two levels":
        frame.index = pd.MultiIndex.from_arrays([list(range(12)), list(range(40, 52))])
    frame.to_csv(path)
    if index == "named again":
        pd.read_csv(path).to_csv(path)
    found = contents(reader, path)
    assert (found.inputs, found.targets) == (expected.inputs, expected.targets)
    assert any("holds row numbers and is left out" in note for note in found.notes)


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_row_numbers_without_a_name_as_r_writes_them(tmp_path: Path, form: str) -> None:
    between = "\t" if form == "tsv" else ","
    rows = [
        between.join([f'"{3 * k + 1}"', f'"{t}"', f'"{label}"'])
        for k, (t, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]
    header = between.join(['"text"', '"label"'])
    found = read(tmp_path / f"t.{form}", "\n".join([header, *rows]))
    assert (found.inputs, found.targets) == (TEXTS, LABELS)
    assert any("holds row numbers and is left out" in note for note in found.notes)


def test_a_separator_within_every_text_is_no_row_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: 3 cells, but the header has 2"):
        read(tmp_path / "t.csv", "text,label\nwell, one,x\noh, two,y\n")


def test_a_title_above_the_header_is_suspected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="header has 1.*Remove it if it is a title"):
        read(tmp_path / "t.csv", "\n".join(["Survey of 2024", *LINES]))


def test_other_columns_without_a_name_get_one(tmp_path: Path) -> None:
    content = ",text,label\nanna,one two,a\nbert,three four,b\n"
    found = read(tmp_path / "t.csv", content, group_column="column 1")
    assert "column 1 has no name and is called 'column 1'" in found.notes


@pytest.mark.parametrize(
    "content",
    [
        "text,label,\none two,a,\nthree four,b,\n",
        "text,label\none two,a,\nthree four,b,,\n",
        "text,label,\none two,a\nthree four,b\n",
        "text, label\none two, a\nthree four, b\n",
        '"text", "label"\n"one two", "a"\n"three four", "b"\n',
        "\n\ntext,label\n\none two,a\n   \nthree four,b\n",
    ],
)
def test_separators_at_the_ends_spaces_and_blank_lines(tmp_path: Path, content: str) -> None:
    found = read(tmp_path / "t.csv", content)
    assert (found.inputs, found.targets) == (["one two", "three four"], ["a", "b"])


def test_rows_count_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    found = read(tmp_path / "t.csv", "text,label\none two,a\n\n,b\nthree four,\n,\n,\n")
    assert found.ids == ["t.csv, row 1", "t.csv, row 3", "t.csv, row 4"]
    assert found.targets == ["a", "b", "it has no label"]
    assert "2 empty rows at the end are left out" in found.notes


def test_long_cells_and_control_characters(tmp_path: Path) -> None:
    long = "word " * 60_000
    found = read(tmp_path / "t.csv", f"text,label\n{long},a\n\0odd,b\n")
    assert found.inputs == [long, "\0odd"]
    assert found.warnings == ("t.csv, line 3: there is a NUL character in it.",)


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "xlsx"])
def test_two_columns_of_one_name_are_told(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"t.{form}"
    if form == "xlsx":
        frame = pd.DataFrame([["a b", "x", "y"]], columns=["text", "label", "label"])
        frame.to_excel(path, index=False)
    elif form == "csv":
        path.write_text("text,label,label\na b,x,y\n")
    else:
        path.write_text('{"text": "a b", "label": "x", "label": "y"}\n')
    with pytest.raises(DataError, match="two columns are named 'label'|'label' occurs twice"):
        contents("text-table", path)


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "xlsx"])
def test_two_columns_whose_names_are_two_forms_of_one_are_told(tmp_path: Path, form: str) -> None:
    both = {"text": ["a b", "c d"], "caf\u00e9": ["x", "y"], "cafe\u0301": ["z", "z"]}
    with pytest.raises(DataError, match="two columns are named 'café'|'café' occurs twice"):
        Table(write(tmp_path / f"t.{form}", both))


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "xlsx"])
def test_spaces_of_any_kind_around_names_do_not_count(tmp_path: Path, form: str) -> None:
    own = {" text\u00a0": ["a b", "c d"], "\ufefflabel ": ["x", "y"]}
    table = Table(write(tmp_path / f"t.{form}", own))
    assert table.columns == ("text", "label") and table.column("label") == ["x", "y"]
    assert table.find_column(" text\u00a0", "text_column", ()) == "text"


def test_a_name_in_two_forms_is_one_column_of_json(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"caf\u00e9": "x"}\n{"cafe\u0301": "y"}\n', encoding="utf-8")
    assert Table(path).column("caf\u00e9") == ["x", "y"]


@pytest.mark.parametrize("end", ["\0\0\0", "\x1a", "\x1a\n"])
def test_control_characters_at_the_end_are_told(tmp_path: Path, end: str) -> None:
    content = "\n".join([*LINES, end])
    with pytest.raises(DataError, match="line 14 holds only control characters.*Remove it"):
        read(tmp_path / "t.csv", content)


HEADLESS = {
    "texts": [f"I like number {k} of them a lot,{'pos' if k % 2 else 'neg'}" for k in range(12)],
    "files": [f"photos/{k}.jpg,{'cat' if k % 2 else 'dog'}" for k in range(12)],
    "numbers": [f"{k}.5,{k * k},{'yes' if k % 2 else 'no'}" for k in range(12)],
    "dates": [f"2024-01-{k + 1:02},{'yes' if k % 2 else 'no'},x y z w {k}" for k in range(12)],
}


@pytest.mark.parametrize("kind", HEADLESS)
def test_a_missing_header_is_suspected(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(HEADLESS[kind]))
    assert any("looks like data and not like the names" in w for w in Table(path).warnings)
    width = HEADLESS[kind][0].count(",") + 1
    header = ",".join(["when", "what", "which"][:width])
    path.write_text("\n".join([header, *HEADLESS[kind]]))
    assert Table(path).warnings == ()


@pytest.mark.parametrize(
    "header", ["0,1,2", "a,label,2019", "What do you think of it?,label,when", "text,bad,n"]
)
def test_headers_that_are_unusual_are_not_suspected(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    rows = [f"An opinion of some length {k},{'good' if k % 2 else 'bad'},{k}" for k in range(20)]
    path.write_text("\n".join([header, *rows]))
    assert Table(path).warnings == ()


def test_a_header_within_is_told(tmp_path: Path) -> None:
    found = read(tmp_path / "t.csv", "\n".join([*LINES[:4], "", *LINES]))
    assert found.warnings == ("Row 5 repeats the names of the columns. Remove it.",)
    found = read(tmp_path / "t.csv", "\n".join([*LINES, "a text,label", "text,good"]))
    assert found.warnings == ()


def test_a_table_without_any_name_of_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No column of the table .* has a name"):
        read(tmp_path / "t.csv", ",\n1,2\n3,4\n")


def test_a_row_with_too_few_cells_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: 1 cell, but the header has 2.*needs a cell"):
        read(tmp_path / "t.csv", "text,label\na b,x\nc d\ne f,y\n")


def test_commands_tell_what_is_doubtful(tmp_path: Path, mmft: Mmft) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(HEADLESS["texts"]))
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    ended = mmft(
        "data", "check", path, "--task", "text-cls", "--json", report, "--html", page
    )  # fmt: skip
    assert ended.code == 1 and "! The first row looks like data" in ended.out
    assert "1 warning" in ended.out and "nothing is wrong" not in ended.out
    assert "looks like data" in json.loads(report.read_text())["warnings"][0]
    assert "looks like data" in page.read_text() and "Nothing is wrong" not in page.read_text()
    path.write_text("\n".join(f"short {k},{k * k}" for k in range(12)))
    ended = mmft("data", "check", path, "--task", "text-cls")
    assert ended.code == 2 and "no column that is clearly the text" in ended.err


def test_a_divided_and_a_cleaned_table_are_read_as_told(tmp_path: Path, mmft: Mmft) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(LINES).replace(",", "~").replace("texts", "texts, and"))
    setting = ("--task", "text-cls", "--set", "dataset.separator=~")
    ended = mmft("data", "split", path, *setting, "-o", tmp_path / "split.csv")
    assert ended.code == 0, ended.err
    assert contents("text-table", tmp_path / "split.csv").targets.count("good") == 6
    ended = mmft("data", "clean", path, *setting, "-o", tmp_path / "clean.csv")
    assert ended.code == 0, ended.err
    assert contents("text-table", tmp_path / "clean.csv").classes == ("bad", "good")
