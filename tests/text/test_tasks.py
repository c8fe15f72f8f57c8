"""Text tasks from the command line: run, evaluate, predict; and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from mmft_core.cli import main
from mmft_core.config.trees import read_toml

TINY = [
    "--weights=none",
    "--set=backbone.size=tiny",
    "--set=backbone.vocabulary=400",
    "--set=backbone.max_length=48",
    "--set=engine.workers=0",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "animals.jsonl"
    sounds = {"cat": "meows at the moon", "dog": "barks at the postman"}
    rows = [
        {
            "text": f"On day {n} the {animal} {sound}" + " and again" * (n % 9) + ".",
            "label": animal,
            "summary": f"The {animal} {sound}.",
        }
        for n in range(40)
        for animal, sound in sounds.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def arguments(output: Path, task: str, backbone: str, data: Path, *more: str) -> list[str]:
    names = ["--task", task, "--backbone", backbone, "--dataset", str(data), "-o", str(output)]
    return ["run", *names, *TINY, *more]


def run(mmft, output: Path, task: str, backbone: str, data: Path, *more: str):
    return mmft(*arguments(output, task, backbone, data, *more))


def lines(ended) -> list[dict]:
    return [json.loads(line) for line in ended.out.splitlines()]


class TestClassification:
    @pytest.fixture(scope="class")
    def finished(self, tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
        output = tmp_path_factory.mktemp("classes") / "run"
        main(arguments(output, "text-cls", "bert-base", table, "--epochs=10"))
        return output

    def test_it_learns_and_predicts_texts_however_they_come(
        self, finished: Path, mmft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        results = json.loads((finished / "results.json").read_text())
        assert results["metrics"]["test"]["accuracy"] == 1.0
        config = read_toml(finished / "config.toml")
        assert config["engine"]["lr"] == 1e-3  # As is advised for random weights.
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "a.txt").write_text("The dog barks at the postman and again.")
        texts = ["The cat meows at the moon.", str(tmp_path / "notes"), "The dog barks."]
        found = lines(mmft("predict", finished, *texts))
        assert [line["label"] for line in found] == ["cat", "dog", "dog"]
        assert found[0]["input"] == texts[0]

        monkeypatch.setattr("sys.stdin", io.StringIO("The dog barks.\n\nThe cat meows.\n"))
        ended = mmft("predict", finished, "-", "--batch-size", "2")
        found = lines(ended)
        assert [line.get("label") for line in found] == ["dog", None, "cat"]
        assert "empty text" in found[1]["error"] and ended.code == 2

    def test_lines_of_several_files_and_odd_texts(
        self, finished: Path, mmft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def feed(content: bytes) -> None:
            stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))
            monkeypatch.setattr("sys.stdin", stream)

        feed(
            b"The dog barks.\r\n\xef\xbb\xbfThe cat \x1b[31mmeows.\n"
            b"/etc/passwd\nhttps://x.org/a.txt"
        )
        found = lines(mmft("predict", finished, "-"))
        assert [line["input"] for line in found] == [
            "The dog barks.", "The cat \x1b[31mmeows.", "/etc/passwd", "https://x.org/a.txt",
        ]  # fmt: skip
        for content in (b"The dog\nThe caf\xe9", "The dog".encode("utf-16")):
            feed(content)
            ended = mmft("predict", finished, "-")
            assert ended.code == 2 and "not UTF-8" in ended.err and ended.err.count("error") == 1
        for content in (b"The dog barks.\0The cat\nmeows.\n", b"\0\0", b"The dog.\nThe\0cat."):
            feed(content)
            ended = mmft("predict", finished, "-")
            assert ended.code == 2 and "holds a NUL character in line" in ended.err, ended
        texts = ["-1 star", "=1+1", "", "Is it [so] *good*?", "~root dog", "http://x.org/win"]
        ended = mmft("predict", finished, "--format", "csv", "--", *texts)
        rows = list(csv.DictReader(io.StringIO(ended.out)))
        assert [row["input"] for row in rows] == ["'-1 star", "'=1+1", *texts[2:]]
        assert [bool(row["error"]) for row in rows] == [text == "" for text in texts]

    def test_the_report_shows_the_most_wrong_texts(self, finished: Path) -> None:
        assert "at the postman" in (finished / "report.html").read_text()

    def test_eval_on_other_texts(self, finished: Path, mmft, tmp_path: Path) -> None:
        other = tmp_path / "other.csv"
        other.write_text(
            "text,label\nThe cat meows at the moon.,cat\nThe dog barks at the postman.,dog\n"
        )
        figures = json.loads(mmft("eval", finished, "--dataset", other, "--json").out)
        assert figures["samples"] == 2 and figures["accuracy"] == 1.0
        other.write_text("text,label\nThe cow moos.,cow\n")
        ended = mmft("eval", finished, "--dataset", other)
        assert ended.code == 2 and "'cow' is not one of the model's" in ended.err

    def test_no_file_no_text(self, finished: Path, mmft) -> None:
        ended = mmft("predict", finished, "gone.txt")
        assert ended.code == 2 and "gone.txt (there is no such file" in ended.err


class TestSummarization:
    @pytest.mark.parametrize("backbone", ["gpt2", "t5-small"])
    def test_it_learns_by_heart(self, mmft, tmp_path: Path, table: Path, backbone: str) -> None:
        output = tmp_path / "run"
        more = ["--epochs=12", "--set=engine.eval_every=1000", "--set=task.max_new_tokens=16"]
        ended = run(mmft, output, "summarization", backbone, table, *more)
        assert ended.code == 0, ended.err
        results = json.loads((output / "results.json").read_text())
        assert results["metrics"]["test"]["rouge/l"] > 0.9
        predict = ["predict", output, "On day 3 the dog barks at the postman."]
        (found,) = lines(mmft(*predict))
        assert found["summary"] == "The dog barks at the postman."
        (short,) = lines(mmft(*predict, "--set=task.max_new_tokens=1"))
        assert len(short["summary"]) < len(found["summary"])
        assert len(lines(mmft(*predict, "--set=task.num_beams=3"))) == 1
        assert "The dog barks at the postman." in (output / "report.html").read_text()

    def test_what_is_refused(self, mmft, tmp_path: Path, table: Path) -> None:
        ended = run(mmft, tmp_path / "a", "summarization", "bert-base", table)
        assert ended.code == 2 and "needs generation from its text backbone" in ended.err
        ended = run(
            mmft, tmp_path / "b", "summarization", "gpt2", table, "--set=task.prompt=Sum up:"
        )
        assert ended.code == 2 and "must hold {text} once" in ended.err

    def test_summaries_that_are_cut_are_counted(self, mmft, tmp_path: Path, table: Path) -> None:
        more = ["--epochs=1", "--set=task.max_target_length=5", "--set=task.max_new_tokens=4"]
        ended = run(mmft, tmp_path / "run", "summarization", "t5-small", table, *more)
        assert ended.code == 0 and "64 x summary longer than 5 tokens" in ended.out.replace(
            "\n", " "
        )


class TestLanguageModeling:
    @pytest.mark.parametrize("packing", ["true", "false"])
    def test_perplexity_falls(self, mmft, tmp_path: Path, table: Path, packing: str) -> None:
        output = tmp_path / "run"
        more = ["--epochs=12", f"--set=task.packing={packing}"]
        assert run(mmft, output, "language-modeling", "gpt2", table, *more).code == 0
        results = json.loads((output / "results.json").read_text())
        assert results["metrics"]["test"]["perplexity"] < 4  # Of 400 tokens.

    def test_an_encoder_is_refused(self, mmft, tmp_path: Path, table: Path) -> None:
        ended = run(mmft, tmp_path / "run", "language-modeling", "bert-base", table)
        assert ended.code == 2 and "needs likelihoods" in ended.err


@pytest.mark.parametrize("backbone, parameters", [("bert-base", "108,891"), ("gpt2", "109,283")])
def test_a_dry_run_tells_the_published_size(mmft, backbone: str, parameters: str) -> None:
    arguments = ["--task=text-cls", "--backbone", backbone, "--set=backbone.size=published"]
    ended = mmft("run", *arguments, "--set=backbone.vocabulary=30522", "--dry-run")
    assert ended.code == 0, ended.err
    assert f"# text backbone: {parameters}," in ended.out


class TestBadTexts:
    def test_empty_texts_are_reported_by_row_or_left_out(self, mmft, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        rows = [{"text": f"The {'cat' if i % 2 else 'dog'} {i}", "label": i % 2} for i in range(30)]
        rows[4]["text"] = "  "
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = (tmp_path / "run", "text-cls", "bert-base", path, "--epochs=1")
        ended = run(mmft, *arguments)
        assert ended.code == 2 and "t.jsonl, row 5: it has no text" in ended.err
        assert run(mmft, *arguments, "--on-bad-sample=skip").code == 0

    @pytest.mark.parametrize("overlong", ["truncate", "refuse"])
    def test_long_texts_are_cut_and_counted_or_refused(
        self, mmft, tmp_path: Path, overlong: str
    ) -> None:
        path = tmp_path / "t.csv"
        rows = [f"{'cat' if i % 2 else 'dog'} {i},{i % 2}" for i in range(30)]
        rows[3] = "cat " * 200 + ",1"
        path.write_text("text,label\n" + "\n".join(rows) + "\n")
        more = ["--epochs=1", f"--set=backbone.overlong={overlong}", "--set=dataset.test=0"]
        ended = run(mmft, tmp_path / "run", "text-cls", "bert-base", path, *more)
        if overlong == "truncate":
            assert ended.code == 0
            results = json.loads((tmp_path / "run" / "results.json").read_text())
            (remark,) = results["dataset"]["changed"]
            assert "1 x text longer than 48 tokens" in remark
        else:
            assert ended.code == 2 and "t.csv, row 4: it is" in ended.err
            assert not (tmp_path / "run").exists()
