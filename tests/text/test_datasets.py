"""Text data sets: tables, folders, documentation strings, data sets of the Hub."""

from __future__ import annotations

import codecs
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from mmft_core import DatasetSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError, SampleError

ROWS = [
    {"text": f"The {animal} number {n} eats.", "label": animal, "summary": f"{animal} {n}"}
    for n in range(20)
    for animal in ("cat", "dog")
]


def build(name: str, target: str = "class", *, training: bool = True, **options: Any) -> Dataset:
    component = discover().get(DatasetSpec, name)
    context = DatasetContext(target=target, training=training)
    return component.build(convert(options, component.options_type(), "dataset"), context)


def samples(dataset: Dataset) -> Mapping[str, list]:
    return {n: [split[i] for i in range(len(split))] for n, split in dataset.splits.items()}


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"texts.{request.param}"
    if request.param == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        separator = "," if request.param == "csv" else "\t"
        lines = [separator.join(ROWS[0]), *(separator.join(row.values()) for row in ROWS)]
        path.write_text("\n".join(lines) + "\n")
    return path


class TestTable:
    @pytest.mark.parametrize("target, column", [("class", "label"), ("text", "summary")])
    def test_columns_are_found_by_their_names(self, table: Path, target, column) -> None:
        found = samples(build("text-table", target, path=str(table)))
        everything = [s for part in found.values() for s in part]
        expected = {row["text"]: row[column] for row in ROWS}
        assert {s.inputs["text"]: s.target for s in everything} == expected
        assert len(found["val"]) == len(found["test"]) == 4
        assert {s.id for s in everything} == {f"{table.name}, row {i + 1}" for i in range(40)}

    def test_without_targets(self, table: Path) -> None:
        dataset = build("text-table", "none", path=str(table))
        assert all(s.target is None for part in samples(dataset).values() for s in part)

    def test_splits_travel_and_know_their_sizes(self, table: Path) -> None:
        split = build("text-table", "text", path=str(table)).splits["train"]
        assert pickle.loads(pickle.dumps(split))[3] == split[3]
        assert split.sizes()[3] == len(split[3].inputs["text"]) + len(split[3].target)

    def test_given_columns_and_splits(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        rows = ["a,b,part"] + [
            f"words {i},{'xy'[i % 2]},{'train' if i < 8 else 'test'}" for i in range(10)
        ]
        path.write_text("\n".join(rows))
        options = {"text_column": "a", "target_column": "b", "split_column": "part", "val": 0.0}
        dataset = build("text-table", path=str(path), **options)
        assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 8, "test": 2}
        with pytest.raises(DataError, match="has no column 'aa'. Did you mean 'a'?"):
            build("text-table", path=str(path), **options | {"text_column": "aa"})

    @pytest.mark.parametrize(
        "lines, message",
        [
            (["text,label", "one,a", "two,a"], "has one class only, 'a'"),
            (["x,y", "1,2", "3,4"], "no column that is clearly the text"),
            (["text,other", "one two,3"], "no column that is clearly the class"),
            (["text,label"], "has no rows"),
            (["text,label", "one,a,b"], "line 2: 3 cells, but the header has 2"),
            (["text,label,label", "one,a,b"], "line 1: two columns are named 'label'"),
            (["text,key", "one two,a", "three four,b"], "no column that is clearly the class"),
        ],
    )
    def test_unusable_tables(self, tmp_path: Path, lines, message) -> None:
        path = tmp_path / "t.csv"
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(DataError, match=message):
            build("text-table", path=str(path))

    def test_the_only_other_column_is_that_of_the_classes(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["review,stars", *(f"so {i},{i % 2}" for i in range(8))]))
        assert build("text-table", path=str(path)).info.classes == ("0", "1")

    def test_a_line_that_is_no_json_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        path.write_text('{"text": "one", "label": "a"}\n{"text": "two", "label":\n')
        with pytest.raises(DataError, match=r"t\.jsonl, line 2: it is not valid JSON"):
            build("text-table", path=str(path))

    def test_a_line_that_is_no_utf8_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes("text,label\none,a\nKäse,b\n".encode("latin-1"))
        with pytest.raises(DataError, match=r"t\.csv, line 3: byte 0xe4 is not UTF-8.*iconv"):
            build("text-table", path=str(path))

    def test_rows_without_text_or_target_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        rows = [
            {"text": "a b", "label": "x", "summary": " "},
            {"text": None, "label": "y", "summary": "s"},
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        split = build("text-table", path=str(path), val=0.0, test=0.0).splits["train"]
        with pytest.raises(SampleError, match=r"t\.jsonl, row 2: it has no text"):
            split[1]
        split = build("text-table", "text", path=str(path), val=0.0, test=0.0).splits["train"]
        with pytest.raises(SampleError, match=r"t\.jsonl, row 1: it has no target text"):
            split[0]

    def test_bytes_that_are_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes("text,label\ncafé,a\n".encode("latin-1"))
        with pytest.raises(DataError, match="UTF-8"):
            build("text-table", path=str(path))


def test_a_byte_order_mark_is_not_part_of_a_passage(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(codecs.BOM_UTF8 + b"one\n")
    (tmp_path / "blank.txt").write_bytes(codecs.BOM_UTF8 + b"\n")
    dataset = build("text-folder", "none", path=str(tmp_path), val=0.0, test=0.0)
    (sample,) = samples(dataset)["train"]
    assert sample.inputs == {"text": "one\n"}


class TestFolder:
    def make(self, root: Path) -> Path:
        for row, sample in enumerate(ROWS):
            path = root / sample["label"] / f"{row}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(sample["text"])
        return root

    def test_class_folders(self, tmp_path: Path) -> None:
        dataset = build("text-folder", path=str(self.make(tmp_path)))
        found = samples(dataset)
        assert dataset.info.classes == ("cat", "dog")
        assert {s.target for s in found["test"]} == {"cat", "dog"}
        assert all(s.target in s.inputs["text"] for part in found.values() for s in part)

    @pytest.mark.parametrize(
        "content, message", [(b"", "the file is empty"), (b"caf\xe9", "not UTF-8 at byte 3")]
    )
    def test_bad_files_are_named(self, tmp_path: Path, content: bytes, message: str) -> None:
        (self.make(tmp_path) / "cat" / "bad.txt").write_bytes(content)
        split = build("text-folder", path=str(tmp_path), val=0.0, test=0.0).splits["train"]
        bad = next(i for i in range(len(split)) if split.sample_id(i).endswith("bad.txt"))
        with pytest.raises(SampleError, match=rf"cat/bad\.txt: .*{message}"):
            split[bad]

    def test_long_files_are_cut_at_lines_and_nothing_is_lost(self, tmp_path: Path) -> None:
        text = "".join(f"Line {i} of the größte text.\n" for i in range(300))
        (tmp_path / "long.txt").write_text(text)
        split = build("text-folder", "none", path=str(tmp_path), val=0.0, test=0.0).splits["train"]
        passages = [split[i] for i in range(len(split))]
        assert "".join(p.inputs["text"] for p in passages) == text
        assert max(split.sizes()) <= 2000 and len(split) > 3
        line = int(passages[1].id.rpartition(":")[2])
        assert passages[1].inputs["text"].startswith(f"Line {line - 1} ")

    def test_a_long_line_is_cut_between_characters(self, tmp_path: Path) -> None:
        text = "é€𝄞a" * 2000
        (tmp_path / "long.txt").write_text(text, encoding="utf-8")
        split = build("text-folder", "none", path=str(tmp_path), val=0.0, test=0.0).splits["train"]
        passages = [split[i].inputs["text"] for i in range(len(split))]
        assert "".join(passages) == text
        assert max(len(passage.encode()) for passage in passages) <= 2000

    def test_files_are_set_aside_as_wholes(self, tmp_path: Path) -> None:
        for i in range(30):
            (tmp_path / f"{i}.md").write_text("words and words\n" * 300)
        dataset = build("text-folder", "none", path=str(tmp_path))
        files = {
            name: {s.id.rpartition(":")[0] for s in part} for name, part in samples(dataset).items()
        }
        assert len(files["test"]) == 3
        assert not files["train"] & files["test"] and not files["train"] & files["val"]

    def test_nothing_there(self, tmp_path: Path) -> None:
        for target in ("class", "none"):
            with pytest.raises(DataError, match="gone"):
                build("text-folder", target, path=str(tmp_path / "gone"))
        with pytest.raises(DataError, match="holds no text files"):
            build("text-folder", "none", path=str(tmp_path))


class TestDocstrings:
    @pytest.fixture(scope="class")
    def datasets(self) -> Mapping[str, Dataset]:
        return {target: build("docstrings", target) for target in ("class", "text", "none")}

    def test_no_module_and_no_text_is_in_two_splits(self, datasets) -> None:
        for dataset in datasets.values():
            found = samples(dataset)
            for part, others in (("test", ("train", "val")), ("val", ("train",))):
                modules = {s.id.partition(":")[0] for s in found[part]}
                texts = {s.inputs["text"] for s in found[part]}
                for other in others:
                    assert not modules & {s.id.partition(":")[0] for s in found[other]}
                    assert not texts & {s.inputs["text"] for s in found[other]}

    def test_every_package_is_in_every_split_in_like_proportion(self, datasets) -> None:
        found, classes = samples(datasets["class"]), datasets["class"].info.classes
        for part in ("val", "test"):
            assert {s.target for s in found[part]} == set(classes)
        assert 0.08 < len(found["test"]) / sum(map(len, found.values())) < 0.14

    def test_names_of_packages_do_not_give_them_away(self, datasets) -> None:
        for sample in samples(datasets["class"])["train"]:
            assert sample.target not in sample.inputs["text"].replace("_", " ").split()

    def test_summaries_are_sentences_that_are_not_in_the_body(self, datasets) -> None:
        for sample in samples(datasets["text"])["train"]:
            assert sample.target.endswith((".", "!", "?")) and "\n" not in sample.target
            assert 4 <= len(sample.target.split()) <= 30
            assert not sample.inputs["text"].startswith(sample.target)

    def test_a_damaged_cache_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import mmft_text.docstrings as module

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(module, "PER_PACKAGE", 30)
        first = build("docstrings")
        (cache,) = (tmp_path / "mmft").iterdir()
        cache.write_bytes(b"damaged")
        again = build("docstrings")
        ids = [[s.id for s in samples(d)["train"]] for d in (first, again)]
        assert ids[0] == ids[1] and cache.stat().st_size > 1000


class TestHub:
    def saved(self, folder: Path) -> Path:
        import datasets

        rows = [
            {"document": r["text"], "class": i % 2, "title": r["summary"]}
            for i, r in enumerate(ROWS)
        ]
        features = datasets.Features(
            {
                "document": datasets.Value("string"),
                "class": datasets.ClassLabel(names=["cat", "dog"]),
                "title": datasets.Value("string"),
            }
        )
        whole = datasets.Dataset.from_list(rows, features=features)
        parts = {"train": whole.select(range(30)), "validation": whole.select(range(30, 40))}
        datasets.DatasetDict(parts).save_to_disk(str(folder))
        return folder

    def test_its_own_splits_and_class_names(self, tmp_path: Path) -> None:
        dataset = build("hub-text", id=str(self.saved(tmp_path / "d")))
        assert dataset.info.classes == ("cat", "dog")
        found = samples(dataset)
        assert len(found["val"]) == 10 and len(found["test"]) == 4  # Set aside from train.
        assert all(s.target in s.inputs["text"] for part in found.values() for s in part)

    def test_texts_as_targets_and_mapped_columns(self, tmp_path: Path) -> None:
        folder = str(self.saved(tmp_path / "d"))
        found = samples(build("hub-text", "text", id=folder))
        assert found["val"][0].target == ROWS[30]["summary"]
        swapped = build(
            "hub-text", "text", id=folder, text_column="title", target_column="document"
        )
        assert samples(swapped)["val"][0].inputs["text"] == ROWS[30]["summary"]
        with pytest.raises(DataError, match="has no column 'titel'. Did you mean 'title'"):
            build("hub-text", "text", id=folder, target_column="titel")

    @pytest.mark.parametrize("form", ["indices", "names", "separated"])
    def test_any_number_of_labels(self, tmp_path: Path, form: str) -> None:
        import datasets

        names = ["cat", "dog", "eel"]
        sets = [[k for k in range(2) if n >> k & 1] for n in range(30)]
        kind: Any = datasets.Value("string")
        cells: list[Any] = [[names[k] for k in own] for own in sets]
        if form == "indices":
            kind, cells = [datasets.ClassLabel(names=names)], sets
        elif form == "names":
            kind = [kind]
        else:
            cells = ["; ".join(own) for own in cells]
        rows = {"text": [f"text {n}" for n in range(30)], "labels": cells}
        features = datasets.Features({"text": datasets.Value("string"), "labels": kind})
        whole = datasets.Dataset.from_dict(rows, features=features)
        parts = {"train": whole.select(range(20)), "test": whole.select(range(20, 30))}
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
        dataset = build("hub-text", "labels", id=str(tmp_path / "d"))
        assert dataset.info.classes == tuple(names if form == "indices" else names[:2])
        found = samples(dataset)
        assert found["val"] and len(found["train"] + found["val"]) == 20
        assert len(found["test"]) == 10
        for sample in (s for part in found.values() for s in part):
            own = sets[int(sample.inputs["text"].split()[1])]
            assert sample.target == tuple(names[k] for k in own)

    def test_a_label_without_a_name_is_told(self, tmp_path: Path) -> None:
        import datasets

        kinds = {
            "text": datasets.Value("string"),
            "labels": [datasets.ClassLabel(names=["cat", "dog"])],
        }
        rows = {"text": ["a b", "c d", "e f"], "labels": [[0], [1, 0], [-1]]}
        whole = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
        whole.save_to_disk(tmp_path / "d")
        train = build("hub-text", "labels", id=str(tmp_path / "d"), val=0, test=0).splits["train"]
        assert [train.target(k) for k in (0, 1)] == [("cat",), ("cat", "dog")]
        with pytest.raises(SampleError, match="row 3: its label -1 is not one of 0 to 1"):
            train.check(2)

    def test_a_label_that_train_lacks_is_told(self, tmp_path: Path) -> None:
        import datasets

        parts = {"train": [["cat"], ["dog"], []], "test": [["cat", "eel"]], "validation": [["dog"]]}
        own = {
            name: datasets.Dataset.from_dict({"text": ["a b"] * len(sets), "labels": sets})
            for name, sets in parts.items()
        }
        datasets.DatasetDict(own).save_to_disk(tmp_path / "d")
        info = build("hub-text", "labels", id=str(tmp_path / "d")).info
        assert info.classes == ("cat", "dog", "eel")
        assert any("Label 'eel' is not in train" in warning for warning in info.warnings)

    def test_a_split_without_the_column_is_named(self, tmp_path: Path) -> None:
        import datasets

        parts = {
            "train": datasets.Dataset.from_dict({"text": ["a b", "c d"], "label": ["x", "y"]}),
            "test": datasets.Dataset.from_dict({"text": ["e f"]}),
        }
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
        with pytest.raises(DataError, match="split 'test' .* no column 'label'"):
            build("hub-text", id=str(tmp_path / "d"))

    def test_splits_of_other_names_serve_where_nothing_is_learned(self, tmp_path: Path) -> None:
        import datasets

        parts = {n: datasets.Dataset.from_dict({"text": [f"of {n}"]}) for n in ("corpus", "test")}
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
        found = build("hub-text", "none", training=False, id=str(tmp_path / "d"))
        assert set(found.splits) == {"corpus", "test"}
        with pytest.raises(DataError, match="no training split"):
            build("hub-text", "none", id=str(tmp_path / "d"))

    def test_an_unreachable_hub_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(
            DataError, match="'nobody/nothing' cannot be loaded: .*cannot be reached"
        ):
            build("hub-text", id="nobody/nothing")
        with pytest.raises(DataError, match="needs an id"):
            build("hub-text")
