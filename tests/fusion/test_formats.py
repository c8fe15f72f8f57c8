"""Numbers and dates as people write them, told from whole columns and never guessed."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.splits import Joined
from mmft_core.errors import ConfigError, DataError, SampleError
from mmft_core.inference.sources import Sources, typed
from mmft_tabular.columns import Columns
from mmft_tabular.dates import find_date_format, parts_of, read_date
from mmft_tabular.number_format import NumberFormat, find_number_format
from mmft_tabular.processing import TabularProcessor
from tests.fusion.tools import kinds, open_mixed
from tests.vision.tools import faults

TABULAR = DatasetContext(modalities=("tabular",), partial=True)
NUMBERS = DatasetContext(target="number", modalities=("tabular",), partial=True)


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """A table in the form of its suffix; CSV holds everything as text."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(columns)), path)
        return path
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row, default=str) for row in rows))
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    return path


def table(folder: Path, cells: Sequence[Any], name: str = "x", **more: Sequence[Any]) -> Path:
    """A table with a column, classes, and a number to predict."""
    count = len(cells)
    columns = {name: cells, "label": [k % 2 for k in range(count)], **more}
    return write(folder / "t.csv", columns)


def cells(dataset: Dataset, name: str = "x") -> list[Any]:
    rows = Joined(dataset.splits.values())
    by_id = {}
    for index in range(len(rows)):
        found = rows.input(index, "tabular")
        by_id[int(rows.sample_id(index).rpartition(" ")[2])] = found and found[name]
    return [by_id[k] for k in sorted(by_id)]


READ: dict[str, tuple[list[str], str, list[float]]] = {
    "decimal commas": (["1,5", "12,25", "1.250,75"], "decimal-comma", [1.5, 12.25, 1250.75]),
    "a comma after nought": (["0,125", "1,250"], "decimal-comma", [0.125, 1.25]),
    "thousands by commas": (["1,250.5", "1,250", "3"], "decimal-point", [1250.5, 1250, 3]),
    "millions by points": (["1.250.000", "1.250"], "decimal-comma", [1250000, 1250]),
    "lakhs": (["12,50,000", "1,250"], "decimal-point", [1250000, 1250]),
    "spaces": (["1 250", "1\u00a0250\u202f000", "7"], "plain", [1250, 1250000, 7]),
    "apostrophes": (["1'250.50", "1\u2019000.25"], "decimal-point", [1250.5, 1000.25]),
    "percent": (["12%", "7.5 %", "-3%"], "decimal-point %", [12, 7.5, -3]),
    "dollars": (["$90", "-$1,250.00", "$ 3.50"], "decimal-point $", [90, -1250, 3.5]),
    "euros": (["€ 1.250,00", "9,99 €", "5"], "decimal-comma €", [1250, 9.99, 5]),
    "codes": (["90 EUR", "1.250,50 EUR"], "decimal-comma EUR", [90, 1250.5]),
    "letters and a symbol": (["US$ 90.5", "US$ 7"], "decimal-point US$", [90.5, 7]),
    "crowns": (["250 kr", "1 250,50 kr", "kr 12"], "decimal-comma kr", [250, 1250.5, 12]),
    "zloty": (["12,50 zł", "3 zł"], "decimal-comma zł", [12.5, 3]),
    "rupees": (["Rs. 1,250.50", "Rs. 7"], "decimal-point Rs.", [1250.5, 7]),
    "weights": (["12kg", "3.5 kg", "7"], "decimal-point kg", [12, 3.5, 7]),
    "degrees": (["-3.5 °C", "12°C", "\u22125 °C"], "decimal-point °C", [-3.5, 12, -5]),
    "speeds": (["100 km/h", "80 km/h"], "plain km/h", [100, 80]),
    "areas": (["12,5 m²", "3 m²"], "decimal-comma m²", [12.5, 3]),
    "signs": (["\u22125", "+3", "-1e-3", "2E5"], "plain", [-5, 3, -0.001, 2e5]),
    "three decimals": (["1.250", "3.125", "9.375"], "decimal-point", [1.25, 3.125, 9.375]),
}


@pytest.mark.parametrize("case", READ)
def test_what_a_column_shows_decides(case: str) -> None:
    texts, form, numbers = READ[case]
    found = find_number_format(texts)
    assert (str(found.format), found.doubt) == (form, "")
    assert [found.format.read(text) for text in texts] == pytest.approx(numbers)
    assert NumberFormat.parse(form) == found.format, "it is kept as text"


@pytest.mark.parametrize(
    "texts", [["1,250", "3,400"], ["1.250", "900"], ["1,250", "1.250"], ["7", "8", "9,000"]]
)
def test_what_no_cell_shows_is_doubtful(texts: list[str]) -> None:
    found = find_number_format(texts)
    assert (found.doubt in texts and "," in found.doubt) or "." in found.doubt
    assert found.format.read(found.doubt) is None
    assert "can be read as" in found.format.why_not(found.doubt)
    for form, number in (("decimal-point", 1250.0), ("decimal-comma", 1.25)):
        told = NumberFormat.parse(form)
        assert told is not None and told.read("1,250") == number


@pytest.mark.parametrize(
    "text",
    ["", "N/A", "-", "inf", "nan", "1e999", "1,2,3", "12 kg", "1.2.3", "--5", "5-", "$", "1_0"],
)
def test_what_is_no_number_in_any_format(text: str) -> None:
    for form in ("plain", "decimal-point", "decimal-comma", "decimal-point $", "plain %"):
        own = NumberFormat.parse(form)
        assert own is not None and own.read(text) is None


@pytest.mark.parametrize("text", ["m12", "kg 12", "12 k", "12M", "12a", "3rd", "5x"])
def test_names_with_a_number_are_no_measurements(text: str) -> None:
    form = find_number_format([text]).format
    assert form.unit == "" and form.read(text) is None


def test_units_are_never_mixed_in_silence() -> None:
    percent, dollars, bare = (NumberFormat.parse(form) for form in ("plain %", "plain $", "plain"))
    assert percent is not None and dollars is not None and bare is not None
    assert percent.read("0.12") is None and "plain number, the others are in %" in percent.why_not(
        "0.12"
    )
    assert dollars.read("90") == 90 and dollars.read("€90") is None
    assert "in €, the others are in $" in dollars.why_not("€90")
    assert bare.read("$90") is None and "the others are plain numbers" in bare.why_not("$90")


DATES: dict[str, tuple[list[str], str, list[tuple[int, ...]]]] = {
    "ISO": (["2024-01-05", "2023-12-31"], "year-first", [(2024, 1, 5), (2023, 12, 31)]),
    "ISO with time": (
        ["2024-01-05T10:20:30Z", "2024-01-05 23:00:00.5+02:00"],
        "year-first",
        [(2024, 1, 5, 10, 20, 30), (2024, 1, 5, 23)],
    ),
    "year first": (["2024/1/5", "2024.11.30"], "year-first", [(2024, 1, 5), (2024, 11, 30)]),
    "digits": (["20240105", "19991231"], "year-first", [(2024, 1, 5), (1999, 12, 31)]),
    "months": (["2024-01", "2024-12"], "year-first", [(2024, 1, 1), (2024, 12, 1)]),
    "day first": (["05/06/2024", "13/06/2024"], "day-first", [(2024, 6, 5), (2024, 6, 13)]),
    "points": (["1.2.2024", "31.1.2024"], "day-first", [(2024, 2, 1), (2024, 1, 31)]),
    "month first": (["05/06/2024", "05/13/2024"], "month-first", [(2024, 5, 6), (2024, 5, 13)]),
    "evenings": (
        ["1/31/2024 10:30 PM", "2/1/2024 12:05 am"],
        "month-first",
        [(2024, 1, 31, 22, 30), (2024, 2, 1, 0, 5)],
    ),
    "names": (["5 Jan 2024", "February 3rd, 2024"], "year-first", [(2024, 1, 5), (2024, 2, 3)]),
}


@pytest.mark.parametrize("case", DATES)
def test_dates_are_read_in_the_order_that_the_column_shows(case: str) -> None:
    texts, form, dates = DATES[case]
    found, doubt = find_date_format(texts)
    assert (found, doubt) == (form, "")
    assert [read_date(text, found) for text in texts] == [dt.datetime(*date) for date in dates]


def test_dates_that_are_none_or_two() -> None:
    assert find_date_format(["03/04/2024", "05/06/2024"])[1] == "03/04/2024"
    assert find_date_format(["03/03/2024"]) == ("year-first", "")
    for text in (
        "2024-02-30",
        "13/13/2024",
        "12345678",
        "10:30",
        "2024",
        "5 Foo 2024",
        "",
        "1/2/24",
    ):
        assert read_date(text, "day-first") is None, text
    assert parts_of([dt.datetime(2024, 1, 5)]) == ["year", "month", "day", "weekday"]
    assert parts_of([dt.datetime(2024, 1, 5, 7)])[-1] == "hour"


def test_columns_are_taken_for_what_they_hold_and_it_is_told(tmp_path: Path) -> None:
    days = [f"{k % 28 + 1:02}/{k % 12 + 1:02}/2024" for k in range(60)]
    path = table(
        tmp_path,
        [f"{k},{k % 10}" for k in range(60)],
        sold=days,
        rate=[f"{k % 30}%" for k in range(60)],
        user_id=[f"{k + 7}" for k in range(60)],
        uuid4=[f"123e4567-e89b-12d3-a456-{k:012}" for k in range(60)],
        tweet=[str(2**60 + 513 * k) for k in range(60)],
        width=[str(3 * k) for k in range(60)],
        always=["same"] * 60,
    )
    dataset = open_mixed(path, TABULAR)
    assert kinds(dataset) == {"x": "number", "sold": "date", "rate": "number", "width": "number"}
    assert dataset.options.formats == {
        "x": "decimal-comma", "sold": "day-first", "rate": "plain %", "width": "plain"
    }  # fmt: skip
    notes = "\n".join(dataset.info.notes)
    assert "x: number (60 different numbers in 60 rows, decimal comma)" in notes
    assert "sold: date (dates such as 01/01/2024, day-first, as year, month, day, weekday)" in notes
    assert "in percent, so that 12% is 12" in notes
    assert "constant, so not used: always" in notes
    assert (
        "a different value in every row, like keys: user_id (not used), uuid4 (not used), "
        "tweet (not used), width (used)" in notes
    )
    assert cells(dataset)[13] == 13.3 and cells(dataset, "rate")[29] == 29.0
    assert cells(dataset, "sold")[12] == dt.datetime(2024, 1, 13)
    assert not faults(dataset)


LOOKS: dict[str, tuple[list[str], str]] = {
    "short years by day": (
        [f"{k % 28 + 1}.{k % 12 + 1}.24" for k in range(40)],
        "dates with years of two digits (1.1.24), which are not read: write four digits",
    ),
    "short years by month": ([f"12/{k % 28 + 1}/9{k % 9} 10:30" for k in range(40)], "two digits"),
    "few short years": ([f"{k % 3 + 1:02}-05-23" for k in range(40)], "two digits (01-05-23)"),
    "another unit": (
        [f"{k} furlongs" for k in range(40)],
        "numbers in a unit (furlongs), which are not read: leave it out of the cells",
    ),
    "several units": (
        [f"{k}00 g" if k % 2 else f"{k},5 kg" for k in range(40)],
        "numbers in several units (kg, g), which are not read: write all in one",
    ),
    "with gaps": ([f"{k} pcs" if k % 4 else "n/a" for k in range(40)], "in a unit (pcs)"),
}


@pytest.mark.parametrize("case", LOOKS)
def test_what_looks_like_dates_or_numbers_and_is_not_read_is_told(
    tmp_path: Path, case: str, mmft: Callable[..., Any]
) -> None:
    shown, told = LOOKS[case]
    path = table(tmp_path, shown, other=list(range(40)))
    dataset = open_mixed(path, TABULAR)
    assert kinds(dataset).get("x", "ignored") in ("ignored", "category")
    (note,) = [note for note in dataset.info.notes if "looks like" in note]
    assert note.startswith("column 'x' looks like ") and told in note
    ended = mmft("data", "check", "--task", "fusion-cls", path)
    assert "column 'x' looks like" in " ".join((ended.out + ended.err).split())


@pytest.mark.parametrize(
    "shown",
    [
        ["1.2.3", "1.10.0"] * 20,
        [f"{k % 9}x{k % 7}" for k in range(40)],
        [f"{k % 5}{'ab'[k % 2]}" for k in range(40)],
        ["31.13.24", "45.1.23"] * 20,
        [f"10:{k:02}" for k in range(40)],
    ],
)
def test_other_short_texts_look_like_neither(tmp_path: Path, shown: list[str]) -> None:
    dataset = open_mixed(table(tmp_path, shown, other=list(range(40))), TABULAR)
    assert not any("looks like" in note for note in dataset.info.notes)


def test_a_column_with_a_unit_is_one_of_numbers_and_told(tmp_path: Path) -> None:
    path = table(tmp_path, [f"{k},5 kg" if k % 9 else f"{k}" for k in range(1, 41)])
    dataset = open_mixed(path, TABULAR)
    assert dataset.options.formats == {"x": "decimal-comma kg"}
    assert any("decimal comma, in kg" in note for note in dataset.info.notes)
    assert cells(dataset)[:2] == [1.5, 2.5] and not faults(dataset)
    mixed = [f"{k} kg" for k in range(1, 40)] + ["700 g"]
    found = faults(open_mixed(table(tmp_path, mixed), TABULAR))
    assert "'700 g' in column 'x' is in g, the others are in kg" in str(found)


@pytest.mark.parametrize(
    ("shown", "hint"),
    [
        ([f"{k},{k:03}" for k in range(100, 140)], "dataset.formats.x=decimal-point or decimal-co"),
        ([f"{k % 12 + 1}/{k % 7 + 1}/2024" for k in range(40)], "formats.x=day-first or month-fi"),
    ],
)
def test_what_no_cell_settles_needs_a_setting(tmp_path: Path, shown: list[str], hint: str) -> None:
    path = table(tmp_path, shown)
    for context in (TABULAR, DatasetContext(training=False, partial=True)):
        with pytest.raises(DataError, match="no other cell says which is meant") as caught:
            open_mixed(path, context)
        assert "Column 'x'" in str(caught.value) and hint in (caught.value.hint or "")
    other = DatasetContext(modalities=("text",), partial=True)
    write(path, {"x": shown, "words": [f"some words of row {k}" for k in range(40)]} | {
        "label": [k % 2 for k in range(40)]
    })  # fmt: skip
    assert kinds(open_mixed(path, other)) == {"words": "text"}, "what is not used is no matter"
    assert kinds(open_mixed(path, columns={"x": "ignored"})) == {"words": "text"}


def test_a_setting_settles_it(tmp_path: Path) -> None:
    path = table(tmp_path, [f"{k},{k:03}" for k in range(100, 140)])
    point = open_mixed(path, TABULAR, formats={"x": "decimal-point"})
    comma = open_mixed(path, TABULAR, formats={"x": "decimal-comma"})
    assert cells(point)[0] == 100100.0 and cells(comma)[0] == 100.1
    dates = table(tmp_path, [f"{k % 12 + 1}/{k % 7 + 1}/2024" for k in range(40)])
    day = open_mixed(dates, TABULAR, formats={"x": "day-first"})
    assert kinds(day) == {"x": "date"} and cells(day)[7] == dt.datetime(2024, 1, 8)
    euros = table(tmp_path, [f"{k}.{k:03} €" for k in range(100, 140)])
    told = open_mixed(euros, TABULAR, formats={"x": "decimal-comma"})
    assert told.options.formats == {"x": "decimal-comma €"} and cells(told)[0] == 100100.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": {"x": "comma"}}, "dataset.formats.x = 'comma' is not a format"),
        ({"formats": {"y": "decimal-comma"}}, "has no column 'y', which dataset.formats names"),
        (
            {"formats": {"x": "day-first"}, "columns": {"x": "number"}},
            "is for columns of kind date",
        ),
        ({"formats": {"x": "decimal-comma stones"}}, "is not a format"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_mixed(table(tmp_path, range(20)), TABULAR, **options)


def test_single_cells_of_another_form_are_told_by_row(tmp_path: Path) -> None:
    plain: list[Any] = list(range(100, 160))
    plain[3], plain[7], plain[11], plain[13] = "1,250", "$90", "inf", "12 apples"
    found = faults(open_mixed(table(tmp_path, plain), TABULAR))
    reasons = {int(row.rpartition(" ")[2]): reason for row, reason in found.items()}
    assert set(reasons) == {4, 8, 12, 14}
    assert "can be read as 1250 or as 1.25; say which with --set dataset.formats.x=" in reasons[4]
    assert "is in $, the others are plain numbers" in reasons[8]
    assert "is not a number" in reasons[12] and "dataset.columns.x=category" in reasons[14]
    dated = [f"2024-01-{k % 28 + 1:02}" for k in range(60)]
    dated[5], dated[6] = "soon", ""
    (told,) = faults(open_mixed(table(tmp_path, dated, y=plain[20:50] * 2), TABULAR)).values()
    assert "'soon' in column 'x' is not a date" in told


@pytest.mark.parametrize("form", [".csv", ".jsonl", ".parquet"])
def test_the_same_data_are_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    count = 40
    day = dt.datetime(2024, 1, 1)
    columns: dict[str, Sequence[Any]] = {
        "number": [k / 8 + 1.125 for k in range(count)],
        "whole": [k * k for k in range(count)],
        "sold": [day + dt.timedelta(days=k) for k in range(count)],
        "label": [k % 2 for k in range(count)],
    }
    dataset = open_mixed(write(tmp_path / f"t{form}", columns), TABULAR)
    assert kinds(dataset) == {"number": "number", "whole": "number", "sold": "date"}
    for name in ("number", "whole", "sold"):
        assert cells(dataset, name) == list(columns[name]), name


def test_numbers_that_are_held_as_such_are_no_text(tmp_path: Path) -> None:
    """Whatever the format of the table that was learned from."""
    x, y, label = [1.125, 2.25, None, float("inf")] * 6, [7.5] * 24, [0, 1] * 12
    path = write(tmp_path / "t.parquet", {"x": x, "y": y, "label": label})
    dataset = open_mixed(
        path,
        DatasetContext(modalities=("tabular",), partial=True, training=False),
        columns={"x": "number", "y": "number"},
        formats={"x": "decimal-comma €"},
        others="ignored",
    )
    rows = Joined(dataset.splits.values())
    assert rows.input(0, "tabular") == {"x": 1.125, "y": 7.5}
    assert rows.input(2, "tabular") == {"x": None, "y": 7.5}
    with pytest.raises(SampleError, match="inf in column 'x' is not a finite number"):
        rows.input(3, "tabular")


def targets(dataset: Dataset) -> list[Any]:
    rows = Joined(dataset.splits.values())
    return sorted(rows.target(index) for index in range(len(rows)))


@pytest.mark.parametrize(
    ("prices", "expected", "note"),
    [
        ([f"€ {k}.250,00" for k in range(1, 21)], [1000 * k + 250 for k in range(1, 21)], "in €"),
        ([f"{k},5" for k in range(20)], [k + 0.5 for k in range(20)], "decimal comma"),
        ([f"${k}" for k in range(20)], list(range(20)), "in $"),
        ([f"{k}%" for k in range(20)], list(range(20)), "12% is 12"),
        ([f"1,{k:03}.5" for k in range(20)], [1000.5 + k for k in range(20)], "1,000.5 is read as"),
    ],
)
def test_targets_are_read_by_what_their_column_shows(
    tmp_path: Path, prices: list[str], expected: list[float], note: str
) -> None:
    dataset = open_mixed(table(tmp_path, range(20), price=prices), NUMBERS, target_column="price")
    assert targets(dataset) == pytest.approx(expected)
    assert any(n.startswith("targets: ") and note in n for n in dataset.info.notes)
    assert "price" in dataset.options.formats and "price" not in dataset.info.formats


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("N/A", "its target 'N/A' is not a finite number"),
        ("-", "its target '-' is not a finite number"),
        ("inf", "its target 'inf' is not a finite number"),
        ("nan", "its target 'nan' is not a finite number"),
        ("1e60", "its target '1e60' is not a finite number"),
        ("$90", "its target '$90' is in $, the others are plain numbers"),
        ("12%", "its target '12%' is in %, the others are plain numbers"),
        ("1,250", "can be read as 1250 or as 1.25; say which with --set dataset.formats.price="),
        ("", "it has no target"),
        ("true", "its target 'true' is not a finite number"),
        ("2024-01-05", "is not a finite number"),
    ],
)
def test_a_target_that_is_no_number_is_told_by_row(tmp_path: Path, cell: str, reason: str) -> None:
    prices: list[Any] = [100 + k for k in range(40)]
    prices[16] = cell
    dataset = open_mixed(table(tmp_path, range(40), price=prices), NUMBERS, target_column="price")
    (told,) = faults(dataset).items()
    assert told[0] == "t.csv, row 17" and reason in told[1]


def test_targets_in_doubt_need_a_setting(tmp_path: Path) -> None:
    path = table(tmp_path, range(40), price=[f"{k},{k:03}" for k in range(100, 140)])
    with pytest.raises(DataError, match=r"Column 'price'.*'100,100', which can be read as 100100"):
        open_mixed(path, NUMBERS, target_column="price")
    told = {"price": "decimal-point"}
    dataset = open_mixed(path, NUMBERS, target_column="price", formats=told)
    assert targets(dataset)[0] == 100100 and dataset.options.formats["price"] == "decimal-point"


def test_rows_of_a_server_are_read_as_the_table_was(tmp_path: Path) -> None:
    """By what the backbone keeps: dates become parts, texts numbers."""
    path = table(
        tmp_path,
        [f"{k},5" for k in range(60)],
        sold=[f"{k % 28 + 1:02}.{k % 12 + 1:02}.2024 {k % 24}:00" for k in range(60)],
    )
    dataset = open_mixed(path, TABULAR, val=0, test=0)
    columns = Columns.of(dataset.splits["train"], rare=1, formats=dataset.info.formats)
    assert list(columns.dates["sold"]) == ["year", "month", "day", "weekday", "hour"]
    columns.save(tmp_path)
    assert Columns.load(tmp_path) == columns
    processor = TabularProcessor(columns)
    assert processor.fields() == {"x": None, "sold": ()}
    inside = dataset.splits["train"].input(20, "tabular")
    assert inside == {"x": 20.5, "sold": dt.datetime(2024, 9, 21, 20)}
    expected = processor.prepare(inside, train=False)
    assert len(expected["numbers"]) == 6
    for row in (
        {"x": "20,5", "sold": "21.09.2024 20:00"},
        {"x": 20.5, "sold": "2024-09-21T20:00"},
        {"x": "20,50", "sold": "21 September 2024 8:00 PM"},
    ):
        assert processor.inspect(row) is None
        found = processor.prepare(row, train=False)
        assert all(found[key].equal(expected[key]) for key in expected), row
    lacking = processor.prepare({"x": "N/A", "sold": None}, train=False)
    assert not lacking["given"].any()
    for row in ({"x": "20.5"}, {"sold": "09/31/2024"}, {"x": "many"}, {"x": float("nan")}):
        with pytest.raises(ValueError, match="in column"):
            processor.inspect(row)
    assert processor.manifest()["dates"]["sold"]["format"] == "day-first"


def test_old_runs_read_as_they_did(tmp_path: Path) -> None:
    """Their options say nothing of formats, and their backbones nothing of dates."""
    path = table(tmp_path, [k / 4 for k in range(20)])
    old = {"columns": {"x": "number"}, "others": "ignored"}
    assert cells(open_mixed(path, TABULAR, **old))[3] == 0.75
    (tmp_path / "columns.json").write_text(
        json.dumps({"numbers": {"x": [1.0, 2.0]}, "categories": {}})
    )
    processor = TabularProcessor(Columns.load(tmp_path))
    assert processor.prepare({"x": "3"}, train=False)["numbers"].tolist() == [1.0]


PERCENT = {"x": "decimal-point %"}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_plain_numbers_are_not_read_by_a_run_in_percent(tmp_path: Path, form: str) -> None:
    """Of 12% in a CSV Excel and pandas may make 0.12, a hundredth of what was learned from."""
    columns = {"x": [0.12, 12.0, None, 0.5], "label": ["a", "b", "a", "b"]}
    path = write(tmp_path / f"t.{form}", columns)
    kept = {"columns": {"x": "number"}, "formats": PERCENT, "others": "ignored"}
    used = DatasetContext(modalities=("tabular",), partial=True, training=False)
    told = faults(open_mixed(path, used, **kept))
    said = "in column 'x' is a plain number, the others are in %"
    for row, cell in enumerate(columns["x"], start=1):
        assert (said in told[f"t.{form}, row {row}"]) is (cell is not None)
    of_targets = DatasetContext(target="number", partial=True, training=False)
    kept = {"target_column": "x", "formats": PERCENT, "columns": {"label": "category"}}
    told = faults(open_mixed(path, of_targets, **kept, others="ignored"))
    assert "its target '0.12' is a plain number, the others are in %" in told[next(iter(told))]


def test_a_table_of_numbers_itself_has_no_percent_to_keep(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"x": [0.12, 12.0] * 8, "label": ["a", "b"] * 8})
    dataset = open_mixed(path, TABULAR, formats=PERCENT)
    assert dataset.info.formats == {"x": "decimal-point"} and faults(dataset) == {}


def test_plain_numbers_of_a_json_row_are_no_percents(tmp_path: Path) -> None:
    shares = [f"{k}%" for k in range(20)]
    path = table(tmp_path, shares, other=[f"{k},5" for k in range(20)])
    dataset = open_mixed(path, TABULAR, val=0, test=0)
    columns = Columns.of(dataset.splits["train"], rare=1, formats=dataset.info.formats)
    processor = TabularProcessor(columns)
    assert processor.prepare(processor.parse('{"x": "12%"}') or {}, train=False)["given"][0]
    for row, said in (
        ('{"x": 0.12}', "its '0.12' in column 'x' is a plain number, the run's were in %"),
        (
            '{"other": "1.5"}',
            "'1.5' in column 'other' is not a finite number (read with a decimal c",
        ),
        ('{"z": 1}', "it has none of the columns x, other"),
        ("{}", "it has none of the columns x, other"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            processor.prepare(processor.parse(row) or {}, train=False)
    split = Sources("tabular", list(typed(["not json", "[1]"], processor)), processor)
    for index in range(2):
        with pytest.raises(
            SampleError, match=r'not a row: expected a JSON object such as {"x": 1.5}'
        ):
            split[index]
