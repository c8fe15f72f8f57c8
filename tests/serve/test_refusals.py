"""What is refused: whatever comes, the answer is one sentence, and the server goes on."""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.tools import Served, digit, hum, plain, serving


def bomb(side: int) -> bytes:
    """A small PNG of so many pixels a side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = zlib.compressobj(9)
    line = bytes(1 + side // 8)
    data = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def served(mixed: Path) -> Iterator[Served]:
    with serving(mixed, max_bytes=300_000, timeout=20.0) as server:
        yield server


JSON = {"content-type": "application/json"}
UNDECODABLE = "The image cannot be used: it is not an image that can be decoded."
MISTAKES: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing": ({"json": {}}, 422, "holds no image and no text and no tabular"),
    "no JSON": ({"content": b'{"text": ', "headers": JSON}, 400, "is not valid JSON"),
    "not UTF-8": ({"content": b'{"text": "\xff"}', "headers": JSON}, 400, "is not valid JSON"),
    "UTF-16": ({"content": '{"text": "a"}'.encode("utf-16"), "headers": JSON}, 400, "not UTF-8"),
    "a list": ({"json": [1]}, 422, "must be a JSON object, such as"),
    "an abyss": ({"content": b"[" * 100_000, "headers": JSON}, 422, "nested too deeply"),
    "a number": ({"json": {"text": 5}}, 422, "text is neither a text nor an object"),
    "an object as a text": (
        {"json": {"text": {"a": 1}}},
        422,
        "takes a text or a file of .txt or .md.",
    ),
    "half a character": ({"json": {"text": "\ud800"}}, 422, "half of a surrogate pair"),
    "an unknown input": ({"json": {"sound": "x"}}, 422, "reads no 'sound'; it reads image, text"),
    "another type": ({"content": b"x"}, 415, "Send multipart/form-data"),
    "no base64": ({"json": {"image": "***"}}, 422, "not valid base64"),
    "no picture": ({"files": {"image": b"not a picture"}}, 422, UNDECODABLE),
    "an empty picture": ({"files": {"image": ("a.png", b"")}}, 422, "the file is empty"),
    "a cut picture": ({"files": {"image": digit(1, 300)[:900]}}, 422, "cannot be decoded"),
    "a picture as a text": ({"data": {"image": "x"}}, 422, "takes a file of .jpg"),
    "twice": ({"files": [("text", (None, "a")), ("text", (None, "b"))]}, 422, "'text' twice"),
    "many parts": ({"files": [("text", (None, "a"))] * 9}, 400, "Too many fields"),
    "a bomb": ({"files": {"image": bomb(8000)}}, 413, "64,000,000 pixels; at most 50,000,000"),
    "a large bomb": ({"files": {"image": bomb(12_000)}}, 422, "that can be decoded safely"),
    "a larger bomb": ({"files": {"image": bomb(20_000)}}, 422, "decompression bomb"),
    "a long text": ({"json": {"text": "a " * 60_000}}, 413, "120,000 characters; at most 100,000"),
    "too much": ({"json": {"text": "a" * 400_000}}, 413, "larger than 300,000 bytes"),
    "bytes as a text": ({"files": {"text": b"\xff\xfe\x00"}}, 422, "is not UTF-8"),
    "no row": ({"data": {"tabular": "[1]"}}, 422, "tabular is not a row"),
    "no column": ({"json": {"tabular": {"inc": 1}}}, 422, "no column 'inc'. Did you mean 'ink'?"),
    "no number": ({"json": {"tabular": {"ink": "much"}}}, 422, "'ink' takes a finite number"),
    "a huge number": ({"json": {"tabular": {"ink": 10**400}}}, 422, "takes a finite number"),
    "a list as a cell": ({"json": {"tabular": {"shape": []}}}, 422, "takes a text or a number"),
}


def test_a_wrong_setting_of_an_address(served: Served) -> None:
    answer = served.client.post("/predict?show=maybe", json={"text": "a"})
    assert (answer.status_code, answer.json()) == (
        422,
        {"error": "'show' must be true or false."},
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_answered_with_one_sentence(mistake: str, served: Served) -> None:
    request, status, sentence = MISTAKES[mistake]
    if mistake == "half a character":
        request = {"content": json.dumps(request["json"]), "headers": JSON}
    answer = served.client.post("/predict", **request)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    assert sentence in answer.json()["error"]


def test_a_request_that_does_not_tell_its_size(served: Served) -> None:
    def content() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(50):
            yield b"a" * 10_000
        yield b'"}'

    answer = served.client.post("/predict", content=content(), headers=JSON)
    assert answer.status_code == 413


def test_an_address_that_is_none(served: Served) -> None:
    assert served.client.get("/nothing").json() == {"error": "Not Found."}
    assert served.client.get("/predict").status_code == 405
    assert served.client.get("/docs").status_code == 404


def test_a_key_is_asked_for(digits: Path) -> None:
    with serving(digits, api_key="grüne Äpfel") as served:
        ask = served.client
        for path in ("/model", "/metrics", "/predict", "/items/0"):
            refused = ask.get(path)
            assert refused.status_code == 401, path
            assert "Authorization: Bearer" in refused.json()["error"]
        for wrong in ("Bearer apples", "grüne Äpfel", "Basic grüne Äpfel", "Bearer"):
            headers = {"authorization": wrong.encode()}
            assert ask.get("/model", headers=headers).status_code == 401, wrong
        right = {"authorization": "Bearer grüne Äpfel".encode()}
        assert ask.get("/model", headers=right).status_code == 200
        found = ask.post("/predict", files={"image": digit(0)}, headers=right)
        assert found.status_code == 200
        for path in ("/", "/health", "/ready", "/openapi.json"):
            assert ask.get(path).status_code == 200, path
        told = ask.get("/openapi.json").json()
        secured = {
            path for path, of in told["paths"].items() for how in of.values() if "security" in how
        }
        assert secured == {"/predict", "/model", "/metrics"}
        assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_bytes_that_are_no_http(served: Served) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(sent)
            line = connection.recv(4096).split(b"\r\n")[0]
        assert line.split()[1] in (b"400", b"413"), line
    broken = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(broken)
    assert served.client.get("/ready").status_code == 200


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Some of its bytes changed, a part left out, or its end cut off."""
    changed = bytearray(content)
    way = draw.randrange(3)
    if way == 0:
        for _ in range(draw.randint(1, 40)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    elif way == 1:
        start = draw.randrange(len(changed))
        del changed[start : start + draw.randint(1, 200)]
    else:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


def form(part: str, content: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{part}"; filename="a"\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=b"}


def upload(draw: random.Random, files: list[bytes], part: str) -> dict[str, Any]:
    """A request that is likely to be wrong."""
    content = damaged(draw.choice(files), draw)
    way = draw.randrange(6)
    if way == 0:
        return {"content": damaged(form(part, content), draw), "headers": FORM}
    if way == 1:
        kinds = ("multipart/form-data", "multipart/form-data; boundary=", "image/png", "text/x; a=")
        kind = draw.choice((*kinds, FORM["content-type"] + "; charset=nonsense"))
        return {"content": form(part, content), "headers": {"content-type": kind}}
    if way == 2:
        text = json.dumps({part: "x" * draw.randrange(40), "tabular": {"ink": 1.5}})
        return {"content": damaged(text.encode(), draw), "headers": JSON}
    return {"content": form(part, content), "headers": FORM}


def fuzz(served: Served, files: list[bytes], part: str, number: int) -> None:
    draw = random.Random(part)
    codes = []
    for k in range(number):
        request = upload(draw, files, part)
        answer = served.client.post("/predict", **request)
        assert answer.status_code < 500, (k, request, answer.text)
        codes.append(answer.status_code)
        if answer.status_code != 200:
            assert answer.json()["error"].endswith("."), answer.text
    assert len(set(codes)) >= 3 and codes.count(200) < number * 0.7
    assert served.client.get("/ready").status_code == 200


def test_damaged_pictures(served: Served) -> None:
    forms = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
    files = [plain("teal", 24, form) for form in forms] + [digit(k, 40) for k in range(3)]
    fuzz(served, files, "image", 600)


def test_damaged_recordings(words: Path) -> None:
    import soundfile

    files = [hum(0.3)]
    samples, rate = soundfile.read(io.BytesIO(files[0]))
    for kind in ("FLAC", "OGG", "MP3"):
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=kind)
        files.append(buffer.getvalue())
    with serving(words, extents={"seconds": 2.0}, timeout=60.0) as served:
        fuzz(served, files, "audio", 400)


def test_an_error_that_nobody_expected(
    digits: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("unheard of")

    monkeypatch.setattr("mmft_serve.request.BodyParser.parse", broken)
    with serving(digits) as served:
        answer = served.predict(image=digit(0))
        assert served.client.get("/ready").status_code == 200
    assert answer.status_code == 500
    assert answer.json() == {"error": "The server failed on this request; its log says why."}
    assert "x-request-id" in answer.headers and "unheard of" in caplog.text
