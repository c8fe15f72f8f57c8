"""What a server answers is what `mmft predict` says, whatever the task."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Finished
from tests.fusion.tools import write_table
from tests.serve.conftest import IMAGE, TEXT
from tests.serve.tools import (
    Held,
    by_input,
    digit,
    hum,
    lines,
    plain,
    same,
    serving,
    train,
    write_rows,
)

Mmft = Callable[..., Finished]

SENTENCES = ("Return the mean of an array.", "Open a file and read all of it, line by line.")


def predicted(mmft: Mmft, run: Path, *inputs: str | Path) -> list[dict]:
    found = mmft("predict", run, *inputs, "--top-k", "5")
    assert found.code == 0, found.err
    return lines(found.out)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(digit(number))
    return files


def test_pictures_as_files_and_in_base64(digits: Path, pictures: list[Path], mmft: Mmft) -> None:
    wanted = predicted(mmft, digits, *pictures)
    with serving(digits) as served:
        for picture, record in zip(pictures, wanted, strict=True):
            content = picture.read_bytes()
            encoded = base64.b64encode(content).decode()
            answers = [
                served.predict(image=("a.png", content)),
                served.predict(image=("a picture", content)),
                served.client.post("/predict", json={"image": encoded}),
                served.client.post("/predict", json={"image": {"base64": encoded}}),
            ]
            assert [answer.status_code for answer in answers] == [200] * 4, answers[1].text
            assert all(same(answer.json()["prediction"], record) for answer in answers)
            assert all(answer.json().keys() == {"prediction"} for answer in answers)
        card = served.client.get("/model").json()
        kinds = served.client.get("/openapi.json").json()["components"]["schemas"]
    assert not {"chat", "library"} & card.keys()
    assert kinds["Answer"]["required"] == ["prediction"] and "null" not in str(kinds["Answer"])
    assert card["classes"] == [str(number) for number in range(10)]
    assert card["inputs"][0]["modality"] == "image" and card["inputs"][0]["backbone"] == "resnet18"


def test_texts_typed_and_as_files(topics: Path, mmft: Mmft) -> None:
    wanted = predicted(mmft, topics, *SENTENCES)
    with serving(topics) as served:
        for text, record in zip(SENTENCES, wanted, strict=True):
            for answer in (
                served.client.post("/predict", json={"text": text}),
                served.client.post("/predict", data={"text": text}),
                served.predict(text=("a.txt", text.encode())),
            ):
                assert same(answer.json()["prediction"], record)


def test_some_of_several_modalities(mixed: Path, tmp_path: Path, mmft: Mmft) -> None:
    def gaps(row: int, cells: dict[str, object]) -> None:
        lacking = {2: ("photo",), 3: ("remark", "shape"), 4: ("photo", "remark"), 5: ("ink",)}
        cells.update(dict.fromkeys(lacking.get(row, ()), ""))
        cells["remark"] and cells.update(remark=SENTENCES[row % 2])

    columns = ("photo", "remark", "ink", "shape")
    table = write_table(tmp_path, 5, change=gaps, columns=columns)
    wanted = by_input(mmft("predict", mixed, "--dataset", table, "--top-k", "5").out)
    names = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    with serving(mixed) as served:
        for row, name in enumerate(names, start=1):
            cells: dict[str, object] = {
                "photo": name,
                "remark": "x",
                "ink": _ink(table, row),
                "shape": ("round", "straight")[(row - 1) % 2],
            }
            gaps(row, cells)
            content = (tmp_path / name).read_bytes() if cells["photo"] else None
            given = {
                "image": content and base64.b64encode(content).decode(),
                "text": cells["remark"],
                "tabular": {k: cells[k] or None for k in ("ink", "shape")},
            }
            answer = served.client.post("/predict", json=given)
            assert answer.status_code == 200, answer.text
            assert same(answer.json()["prediction"], wanted[f"table.csv, row {row}"]), row
        nothing = served.client.post("/predict", json={"text": "", "tabular": {"ink": None}})
        assert nothing.status_code == 422
        assert "no image and no text and no tabular" in nothing.json()["error"]
        form = {"tabular": json.dumps({"ink": "300", "shape": "round"})}
        assert served.client.post("/predict", data=form).status_code == 200
        card = served.client.get("/model").json()
    assert card["partial"] and card["inputs"][2]["fields"] == {
        "ink": None,
        "shape": ["round", "straight"],
    }


def _ink(table: Path, row: int) -> float | None:
    cell = table.read_text().splitlines()[row].split(",")[-2]
    return float(cell) if cell else None


def test_speech_in_pieces(words: Path, tmp_path: Path, mmft: Mmft) -> None:
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    short.write_bytes(hum(0.7))
    long.write_bytes(hum(65.0))
    wanted = predicted(mmft, words, short, long)
    with serving(words) as served:
        found = [served.predict(audio=(f.name, f.read_bytes())).json() for f in (short, long)]
        assert served.figure("mmft_batch_size_sum") > 2, "the long one is several inputs"
        too_long = served.predict(audio=("a.wav", hum(700.0, rate=4000)))
    assert all(same(f["prediction"], w) for f, w in zip(found, wanted, strict=True))
    assert found[1]["prediction"]["duration"] == 65
    assert too_long.status_code == 413
    assert too_long.json()["error"] == "The audio holds 700 seconds; at most 600 are allowed."


@pytest.mark.slow
@pytest.mark.parametrize("task", ["audio-cls", "summarization", "captioning"])
def test_other_tasks(task: str, tmp_path: Path, mmft: Mmft) -> None:
    """One at a time, and several that wait for the model and share a batch."""
    steps = ("--set=engine.steps=60", "--set=engine.eval_every=60", "--lr=2e-3")
    # Learned, and in full precision, so that no text is a near tie.
    written = (*steps, "--set=task.max_new_tokens=6", "--set=engine.precision=fp32")
    pictures = [tmp_path / f"{colour}.png" for colour in ("red", "lime", "blue")]
    for file in pictures:
        file.write_bytes(plain(file.stem))
    sounds = ("--set=backbone.size=tiny", "--set=backbone.padding=batch")
    hums = [tmp_path / f"{pitch}.wav" for pitch in (200, 300, 400)]
    for file in hums:
        file.write_bytes(hum(0.5, float(file.stem)))
    writers = ("--backbone=image=resnet18", "--backbone=text=gpt2")
    column, inputs, arguments = {
        "audio-cls": ("audio", hums, ("--backbone=whisper-tiny", *sounds)),
        "summarization": ("text", list(SENTENCES), ("--backbone=t5-small", *TEXT, *written)),
        "captioning": ("image", pictures, (*writers, *IMAGE, *TEXT, *written)),
    }[task]
    target = "label" if task == "audio-cls" else "summary" if task == "summarization" else "caption"
    data = write_rows(tmp_path / "rows.csv", (column, target), inputs)
    run = train(tmp_path / "run", task, *arguments, "--dataset", data)
    wanted = predicted(mmft, run, *inputs)
    if task != "audio-cls":
        assert wanted == [{target: f"target {number}"} for number in range(len(inputs))]
    parts = [(e.name, e.read_bytes()) if isinstance(e, Path) else (None, e) for e in inputs]
    with serving(run) as served:
        for part, record in zip(parts, wanted, strict=True):
            assert same(served.predict(**{column: part}).json()["prediction"], record)
    held = Held()
    with serving(run, held.around) as served, ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(served.predict, **{column: part}) for part in parts * 2]
        assert held.began.wait(60)
        served.await_inputs(len(asked))
        held.may.set()
        answers = [future.result(60).json()["prediction"] for future in asked]
        assert served.figure("mmft_batch_size_count") < len(asked), "they were computed together"
    assert all(map(same, answers, wanted * 2))


def test_embeddings_with_their_neighbours(tmp_path: Path, rows: Path, mmft: Mmft) -> None:
    parts = ("--backbone=image=resnet18", "--backbone=text=minilm", *IMAGE, *TEXT)
    run = train(tmp_path / "run", "contrastive", *parts)
    photos = sorted((rows.parent / "photos").glob("*.png"))[:12]
    assert mmft("index", run, *photos).code == 0
    searched = json.loads(mmft("search", run, "--text", SENTENCES[0]).out)
    with serving(run) as served:
        by_text = served.client.post("/predict", json={"text": SENTENCES[0]}).json()
        by_image = served.predict(image=photos[3].read_bytes()).json()
        both = served.client.post(
            "/predict",
            json={
                "text": SENTENCES[0],
                "image": base64.b64encode(photos[3].read_bytes()).decode(),
            },
        ).json()
        shown = served.client.get(by_image["neighbours"][0]["preview"])
        assert served.client.get("/items/12").status_code == 404
        assert served.client.get("/items/x").status_code == 404
    found = [{k: n[k] for k in ("id", "score")} for n in by_text["neighbours"]]
    assert same(found, searched["found"])
    assert by_image["neighbours"][0]["id"] == str(photos[3])
    assert by_image["neighbours"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert shown.headers["content-type"] == "image/png" and len(shown.content) > 100
    assert by_text["prediction"]["embedding"].keys() == {"text"}
    assert -1 <= both["prediction"]["similarity"] <= 1


def test_the_interface_says_what_it_takes(mixed: Path) -> None:
    with serving(mixed) as served:
        told = served.client.get("/openapi.json").json()
    body = told["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert body["multipart/form-data"]["schema"]["properties"].keys() == {
        "image",
        "text",
        "tabular",
    }
    row = body["application/json"]["schema"]["properties"]["tabular"]
    assert row["properties"]["ink"]["type"] == ["number", "null"]
    assert "required" not in body["application/json"]["schema"], "one of them is enough"
    assert told["paths"]["/predict"]["post"]["responses"]["429"]
