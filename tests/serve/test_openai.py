"""What OpenAI's own client is answered, and the page with a chat."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mmft_chat.answering import Answering
from mmft_chat.backbone import ChatBackbone
from mmft_serve.settings import EXTENTS
from tests.serve.browser import Page, chromium, open_page
from tests.serve.conftest import TEXT
from tests.serve.tools import Served, digit, hum, plain, serving, train, write_rows

openai = pytest.importorskip("openai")

HELLO = [{"role": "user", "content": "Which digit is this?"}]
LIVELY: dict[str, Any] = {"model": "talks", "temperature": 2.0, "seed": 3, "max_tokens": 12}
"""A network of random weights says something when it is sampled."""


@pytest.fixture(scope="module")
def served(talks: Path) -> Iterator[Served]:
    with serving(talks, extents={**EXTENTS, "pixels": 1500.0}) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Any:
    return openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0)


def url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def about(*pictures: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": address}} for address in pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Which digit?"}]}]


def said(client: Any, **asked: Any) -> str:
    answer = client.chat.completions.create(**{**LIVELY, "messages": HELLO, **asked})
    return str(answer.choices[0].message.content)


def test_models_are_listed(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["talks"]
    assert client.models.retrieve("talks").owned_by == "mmft"


def test_a_streamed_answer_is_the_whole_one(client: Any) -> None:
    whole = client.chat.completions.create(**LIVELY, messages=HELLO)
    (choice,) = whole.choices
    assert choice.message.content and choice.message.role == "assistant"
    usage = whole.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert (choice.finish_reason == "length") == (usage.completion_tokens == 12)
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            **LIVELY, messages=HELLO, stream=True, stream_options=options
        )
    )
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(p.delta.content or "" for p in pieces) == choice.message.content
    assert [p.finish_reason for p in pieces if p.finish_reason] == [choice.finish_reason]
    assert chunks[-1].usage == usage and len({chunk.id for chunk in chunks}) == 1


def test_settings_of_sampling_are_kept_to(client: Any) -> None:
    text = said(client)
    assert said(client) == text
    assert len({said(client, seed=seed) for seed in range(4)}) > 1
    assert len({said(client, temperature=0, seed=seed) for seed in range(2)}) == 1
    longer = said(client, max_tokens=40)
    end = longer[len(longer) // 2 :][:2]
    assert said(client, max_tokens=40, stop=[end, "never"]) == longer[: longer.find(end)].strip()
    one = client.chat.completions.create(**{**LIVELY, "max_tokens": 1}, messages=HELLO)
    assert one.usage.completion_tokens == 1


def test_pictures_are_seen(client: Any) -> None:
    def tokens(*pictures: str) -> int:
        asked = {**LIVELY, "messages": about(*pictures), "max_tokens": 1}
        return int(client.chat.completions.create(**asked).usage.prompt_tokens)

    one, two = url(digit(3)), url(plain("red", form="JPEG"))
    assert tokens(one, two) - tokens(one) == tokens(one) - tokens() == 16


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({"model": "gpt"}, "NotFoundError", "There is no model 'gpt'; there is talks."),
        ({"messages": []}, "BadRequestError", "not valid"),
        ({"messages": HELLO * 2}, "BadRequestError", "turn 2 (user) follows a user turn"),
        ({"messages": about("/etc/hostname")}, "BadRequestError", "not a data: URL"),
        (
            {"messages": [{"role": "user", "value": about("/etc/hostname")[0]["content"]}]},
            "BadRequestError",
            "not a data: URL",
        ),
        ({"messages": about(url(b"x"))}, "BadRequestError", "cannot be read"),
        ({"messages": about(url(plain("red", 40)))}, "APIStatusError", "holds 1,600 pixels"),
        ({"n": 2}, "BadRequestError", "'n' is not supported"),
        ({"temperature": -1}, "BadRequestError", "temperature"),
        ({"response_format": {"type": "json_object"}}, "BadRequestError", "response_format"),
        (
            {"messages": [{"role": "user", "content": "digit " * 300}]},
            "BadRequestError",
            "tokens long, and the model reads 256",
        ),
    ],
)
def test_what_cannot_be_answered_is_told_in_the_clients_form(
    client: Any, asked: dict[str, Any], error: str, reason: str, served: Served
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as told:
            client.chat.completions.create(**{**LIVELY, "messages": HELLO, **asked}, stream=stream)
        assert isinstance(told.value, getattr(openai, error)), told.value
        assert reason in told.value.body["message"] and told.value.body["type"]


def test_the_same_limits_hold_for_predictions(served: Served) -> None:
    def refused(picture: str, question: str = "Which digit?") -> str:
        (turn,) = about(picture)
        turn["content"][-1]["text"] = question
        asked = {"chat": json.dumps([turn])}
        return str(served.client.post("/predict", json=asked).json().get("error", ""))

    assert not refused(url(digit(3)))
    assert "1,600 pixels" in refused(url(plain("red", 40)))
    most = int(EXTENTS["characters"])
    assert f"{most + 1:,} characters" in refused(url(digit(3)), "x" * (most + 1))


def test_predictions_open_no_file(served: Served) -> None:
    """A chat that names one is a text like any other, so it need not be there."""
    chat = json.dumps([{"from": "human", "value": [{"type": "image", "path": "/none/x.png"}]}])
    assert served.client.post("/predict", json={"chat": chat}).status_code == 200


def test_a_stream_that_is_left_gives_its_place_back(served: Served, client: Any) -> None:
    asked = {**LIVELY, "messages": HELLO, "max_tokens": 100_000}
    stream = client.chat.completions.create(**asked, stream=True)
    next(iter(stream))
    stream.close()
    while served.figure("mmft_queue_depth"):
        time.sleep(0.01)
    assert said(client)


def test_what_waits_is_answered_together_as_it_is_alone(
    client: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With settings of their own: lengths, seeds, temperatures, texts before which they end."""
    sizes: list[int] = []
    inner = ChatBackbone.write_each

    def counted(self: Any, inputs: Any, settings: Any, *others: Any) -> None:
        sizes.append(len(settings))
        inner(self, inputs, settings, *others)

    monkeypatch.setattr(ChatBackbone, "write_each", counted)
    asks: list[dict[str, Any]] = [
        {"max_tokens": 40},
        {"messages": about(url(digit(3)), url(digit(4))), "temperature": 0, "max_tokens": 9},
        {"messages": about(url(digit(5))), "seed": 4, "max_tokens": 3},
        {"seed": 5, "temperature": 0.7, "top_p": 0.9},
        {"stop": ["e", "a"]},
    ]

    def answered(asked: dict[str, Any]) -> Any:
        answer = client.chat.completions.create(**{**LIVELY, "messages": HELLO, **asked})
        return answer.choices[0], answer.usage

    alone = [answered(asked) for asked in asks]
    assert sizes == [1] * 5
    held, may = threading.Event(), threading.Event()

    def hold(self: Any, inputs: Any, settings: Any, *others: Any) -> None:
        held.set()
        assert may.wait(60)
        counted(self, inputs, settings, *others)

    monkeypatch.setattr(ChatBackbone, "write_each", hold)
    with ThreadPoolExecutor(len(asks) + 2) as pool:
        before = served.figure("mmft_batch_size_sum")
        first = pool.submit(answered, asks[0])
        assert held.wait(60)
        waiting = [pool.submit(answered, asked) for asked in asks]
        streamed = pool.submit(streamed_text, client, **asks[0])
        served.await_inputs(int(before) + 7)
        may.set()
        assert [future.result(60) for future in waiting] == alone
        assert first.result(60) == alone[0]
        assert streamed.result(60) == alone[0][0].message.content
    assert sizes[5:] == [1, 6]


def streamed_text(client: Any, **asked: Any) -> str:
    chunks = client.chat.completions.create(**{**LIVELY, "messages": HELLO, **asked}, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_batch_that_fails_repeats_nothing_that_was_sent(
    client: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that has begun ends with an error; whoever has got nothing yet is answered."""
    alone = said(client)
    inner, held, may = ChatBackbone.write_each, threading.Event(), threading.Event()

    def fail(self: Any, inputs: Any, settings: Any, seeds: Any, ended: Any) -> None:
        held.set()
        assert may.wait(60)

        written = 0

        def failing(tokens: Any) -> Any:
            nonlocal written
            written += 1
            done = ended(tokens)
            if len(settings) > 1 and written == 6:
                raise MemoryError
            return done

        inner(self, inputs, settings, seeds, failing)

    monkeypatch.setattr(ChatBackbone, "write_each", fail)
    with ThreadPoolExecutor(4) as pool:
        before = served.figure("mmft_batch_size_sum")
        first = pool.submit(said, client)
        assert held.wait(60)
        short = pool.submit(said, client, max_tokens=1)
        whole = pool.submit(said, client)
        stream = pool.submit(streamed_text, client)
        served.await_inputs(int(before) + 4)
        may.set()
        assert first.result(60) == whole.result(60) == alone
        assert alone.startswith(short.result(60))
        with pytest.raises(openai.APIError, match="please try again"):
            stream.result(60)


@pytest.mark.parametrize(
    ("broken", "status", "told"),
    [
        ("prepare_chat", 422, "The chat cannot be read."),
        ("answer_chats", 500, "The model failed on this chat; the server's log says why."),
    ],
)
def test_a_chat_that_breaks_the_model(
    broken: str,
    status: int,
    told: str,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("unheard of")

    monkeypatch.setattr(Answering, broken, fail)
    with pytest.raises(openai.APIStatusError) as refused:
        said(client)
    assert (refused.value.status_code, refused.value.body["message"]) == (status, told)
    assert "KeyError: 'unheard of'" in caplog.text


def test_a_key_is_asked_for_in_the_clients_form(talks: Path) -> None:
    with serving(talks, api_key="secret") as served:
        address = f"{served.address}/v1"
        with pytest.raises(openai.AuthenticationError, match="Give the key"):
            openai.OpenAI(base_url=address, api_key="wrong").models.list()
        assert list(openai.OpenAI(base_url=address, api_key="secret").models.list())


def test_texts_are_embedded(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "texts.csv", ("text", "target"), ("cats", "boats", "hats"))
    run = train(tmp_path / "run", "text-retrieval", "--backbone=minilm", *TEXT, "--dataset", data)
    with serving(run) as served:
        client = openai.OpenAI(base_url=f"{served.address}/v1", api_key="none")
        texts = ["about cats", "on boats"]
        found = client.embeddings.create(model="run", input=texts)
        wanted = [
            served.client.post("/predict", json={"text": text}).json()["prediction"]["embedding"]
            for text in texts
        ]
        assert [row.embedding for row in found.data] == [
            pytest.approx(row, abs=1e-5) for row in wanted
        ]
        asked = {"model": "run", "input": "about cats", "encoding_format": "base64"}
        packed = served.client.post("/v1/embeddings", json=asked).json()["data"][0]["embedding"]
        row = base64.b64decode(packed)
        assert struct.unpack(f"<{len(row) // 4}f", row) == pytest.approx(wanted[0], abs=1e-5)
        assert served.client.post("/v1/chat/completions", json={}).status_code == 404


def test_recordings_are_written_down(words: Path) -> None:
    with serving(words) as served:
        client = openai.OpenAI(base_url=f"{served.address}/v1", api_key="none")
        file = ("hum.wav", hum(0.7))
        wanted = served.predict(audio=file[1]).json()["prediction"]["text"]
        assert client.audio.transcriptions.create(model="asr", file=file).text == wanted
        plain = client.audio.transcriptions.create(model="asr", file=file, response_format="text")
        assert plain.strip() == wanted.strip()
        with pytest.raises(openai.BadRequestError, match="srt"):
            client.audio.transcriptions.create(model="asr", file=file, response_format="srt")


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if chromium() is None:
        pytest.skip("Chromium is not installed")
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        yield page
        assert page.told == [], "nothing was blocked, and no script failed"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_chat_by_keyboard(page: Page, served: Served, width: int, tmp_path: Path) -> None:
    file = tmp_path / "three.png"
    file.write_bytes(digit(3))
    page.open(served.address, width, ready="#model option")
    page.run("document.querySelector('#settings').open = true")
    for selector, value in (("#temperature", "2"), ("#seed", "3"), ("#most", "12")):
        page.type(selector, value)
    page.choose_file("#file", file)
    page.wait_for("document.querySelector('#attached img')")
    page.type("#text", "Which digit?")
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelector('.turn.assistant:not(.writing) .facts')")
    assert page.run("document.querySelector('.turn.user img').naturalWidth") == 8
    answer = page.run("document.querySelector('.turn.assistant .words').textContent")
    asked = {**LIVELY, "messages": about(url(digit(3)))}
    wanted = served.client.post("/v1/chat/completions", json=asked).json()
    assert answer == wanted["choices"][0]["message"]["content"]
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.querySelector('#seed').value = 'x'")
    page.type("#text", "And this?")
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelector('[role=alert]')")
    assert page.run("document.querySelector('#text').value") == "And this?"
    page.run("document.querySelector('#new').click()")
    assert page.run("document.querySelectorAll('.turn').length") == 0
