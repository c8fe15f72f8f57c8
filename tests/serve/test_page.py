"""The page in a browser: a picture, a text, columns, speech, a library, a key, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.browser import Page, chromium, open_page
from tests.serve.conftest import IMAGE
from tests.serve.tools import digit, hum, serving, train

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")

ANSWERED = "document.querySelector('#answer details, #answer .banner')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        yield page
        assert page.told == [], "nothing was blocked, and no script failed"


def answer(page: Page) -> str:
    """Press the button, and give what can be read then."""
    page.run("document.querySelector('#answer').replaceChildren()")
    page.run("document.querySelector('#ask button.main').click()")
    page.wait_for(ANSWERED)
    text = page.run("document.querySelector('#answer').innerText")
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("width", [390, 1280])
def test_a_picture(page: Page, digits: Path, tmp_path: Path, width: int) -> None:
    file = tmp_path / "three.png"
    file.write_bytes(digit(3))
    with serving(digits) as served:
        wanted = served.predict(image=file.read_bytes()).json()["prediction"]
        page.open(served.address, width)
        page.choose_file("#in-image", file)
        page.wait_for("document.querySelector('.shown')?.naturalWidth === 8")
        shown = answer(page)
        assert page.run("document.documentElement.scrollWidth") <= width
        hosts = page.run("performance.getEntriesByType('resource').map(e => new URL(e.name).host)")
    lines = shown.splitlines()
    assert lines[0] == wanted["label"]
    assert f"{100 * wanted['probability']:.1f} %" in shown
    assert page.run("document.querySelectorAll('.bars li').length") == 5
    assert set(hosts) <= {served.address.removeprefix("http://"), ""}, "it asks nobody else"


def test_texts_and_columns_by_keyboard(page: Page, mixed: Path) -> None:
    with serving(mixed) as served:
        given = {"text": "This looks like a zero", "tabular": {"ink": 300, "shape": "round"}}
        wanted = served.client.post("/predict", json=given).json()["prediction"]
        page.open(served.address, 1280)
        assert "fill in" in answer(page), "nothing was given"
        page.type("#in-text", given["text"])
        for text in ("300", "round"):
            page.press("Tab", 9)
            page.call("Input.insertText", text=text) if text == "300" else page.press("r", 82, "r")
        page.press("Tab", 9)
        page.press("Enter", 13, "\r")
        page.wait_for("document.querySelector('#answer .bars')")
        shown = page.run("document.querySelector('#answer').innerText")
        assert f"{100 * wanted['probability']:.1f} %" in shown
        page.run("document.querySelector('#ask button[type=reset]').click()")
        page.run("document.querySelector('[data-column=ink]').value = 'much'")
        assert answer(page) == "Column 'ink' takes a finite number, or null where it is empty."
        assert page.run("document.querySelector('#answer [role=alert]') !== null")


def test_speech(page: Page, words: Path, tmp_path: Path) -> None:
    file = tmp_path / "hum.wav"
    file.write_bytes(hum(0.7))
    with serving(words) as served:
        wanted = served.predict(audio=file.read_bytes()).json()["prediction"]
        page.open(served.address, 390)
        page.choose_file("#in-audio", file)
        shown = answer(page)
        assert wanted["text"].split() == shown.split("\n")[0].split() or not wanted["text"]
        assert "duration\n0.7" in shown or "duration 0.7" in shown.replace("\t", " ")
        page.run("document.querySelector('.record').click()")
        page.wait_for("document.querySelector('.record.recording')")
        page.run("new Promise(done => setTimeout(done, 700))")
        page.run("document.querySelector('.record').click()")
        page.wait_for("document.querySelector('.drop').innerText.includes('recording.wav')")
        assert "duration" in answer(page), "what the browser recorded is decoded by the server"


def test_what_is_found_in_a_library(page: Page, tmp_path: Path, mmft) -> None:
    run = train(tmp_path / "run", "image-retrieval", "--backbone=resnet18", *IMAGE)
    (tmp_path / "album").mkdir()
    for number in range(6):
        (tmp_path / "album" / f"{number}.png").write_bytes(digit(number))
    assert mmft("index", run, tmp_path / "album").code == 0
    with serving(run, top_k=3) as served:
        page.open(served.address, 1280)
        page.choose_file("#in-image", tmp_path / "album" / "4.png")
        shown = answer(page)
        loaded = "[...document.querySelectorAll('.neighbours img')].filter(i => i.naturalWidth)"
        page.wait_for(f"{loaded}.length === 3")
    assert shown.split()[1] == "4.png"


def test_a_key_is_asked_for_once(page: Page, digits: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    file.write_bytes(digit(1))
    with serving(digits, api_key="secret") as served:
        page.call("Page.navigate", url=served.address)
        page.wait_for("document.querySelector('#key')?.open")
        page.type("#key input", "secret")
        page.run("document.querySelector('#key button').click()")
        page.wait_for("document.querySelector('#in-image')")
        page.choose_file("#in-image", file)
        assert " %" in answer(page)
