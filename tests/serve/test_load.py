"""More than a server can take: some is turned away, nothing is lost, every answer is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmft_core.contracts import Batch
from tests.serve.tools import Held, Served, digit, plain, same, serving


def ask(served: Served, number: int) -> httpx.Response:
    return served.predict(image=("a.png", digit(number)))


def test_twice_what_it_can_take(digits: Path) -> None:
    """The queue takes 12: of 24 that come while the model is busy, 12 are answered later."""
    held = Held()
    with serving(digits) as served:
        alone = {n: ask(served, n).json()["prediction"] for n in range(24)}
    with (
        serving(digits, held.around, queue=12, max_batch=4) as served,
        ThreadPoolExecutor(24) as clients,
    ):
        refused: list[httpx.Response] = []
        enough = threading.Event()

        def client(number: int) -> tuple[int, httpx.Response]:
            answer = ask(served, number)
            if answer.status_code == 429:
                refused.append(answer)
                if len(refused) == 12:
                    enough.set()
            return number, answer

        asked = [clients.submit(client, number) for number in range(24)]
        assert enough.wait(60)
        assert served.figure("mmft_queue_depth") == 12
        served.await_inputs(12)
        held.may.set()
        answers = [future.result(60) for future in asked]
        good = {n: a.json()["prediction"] for n, a in answers if a.status_code == 200}
        sizes = served.figure("mmft_batch_size_sum"), served.figure("mmft_batch_size_count")
        assert served.figure("mmft_queue_depth") == 0
    assert len(good) == 12 and len(refused) == 12
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert "12 requests are in progress" in refused[0].json()["error"]
    assert all(near(record, alone[number]) for number, record in good.items())
    assert sizes[0] == 12 and sizes[1] <= 6, "they were computed together"


def near(found: dict, wanted: dict) -> bool:
    """Whether probabilities are the same but for their last digits, whatever shared the batch."""

    def by_label(record: dict) -> dict[str, float]:
        return {each["label"]: each["probability"] for each in record["top"]}

    found, wanted = by_label(found), by_label(wanted)
    both = found.keys() & wanted.keys()
    return len(both) >= 4 and all(abs(found[k] - wanted[k]) < 1e-5 for k in both)


@pytest.mark.slow
def test_many_clients_for_a_while(digits: Path) -> None:
    """200 requests from 8 clients, who come again when they are turned away."""
    with serving(digits, queue=4, max_batch=4) as served, ThreadPoolExecutor(8) as clients:
        alone = [ask(served, n).json()["prediction"] for n in range(10)]

        def until_answered(k: int) -> bool:
            while (answer := ask(served, k % 10)).status_code == 429:
                time.sleep(0.02)  # Asking without a break would take the model's time.
            return near(answer.json()["prediction"], alone[k % 10])

        assert all(clients.map(until_answered, range(100)))
        before = resident()
        assert all(clients.map(until_answered, range(100)))
        grown = resident() - before
    assert grown < 24e6


def resident() -> int:
    """Bytes of memory that this process holds."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux's /proc")
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


def test_an_answer_that_takes_too_long(digits: Path) -> None:
    held = Held()
    with serving(digits, held.around, timeout=0.5) as served:
        late = ask(served, 0)
        held.may.set()
        again = ask(served, 1)
    assert late.status_code == 504
    assert late.json()["error"] == "There was no answer within 0.5 s."
    assert again.status_code == 200, "the model goes on"


def test_a_model_that_fails_on_one_input(digits: Path, caplog: pytest.LogCaptureFixture) -> None:
    held = Held()

    def around(compute: Callable[[Batch], Any]) -> Callable[[Batch], Any]:
        def failing(batch: Batch) -> Any:
            if int(batch.inputs["image"]["pixels"].float().mean(dim=(1, 2, 3)).max()) > 250:
                raise RuntimeError("it is too bright")
            return compute(batch)

        return held.around(failing)

    with serving(digits, around) as served, ThreadPoolExecutor(4) as clients:
        first = clients.submit(ask, served, 0)
        assert held.began.wait(60)
        good = clients.submit(ask, served, 1)
        bad = clients.submit(served.predict, image=plain("white"))
        unreadable = clients.submit(served.predict, image=b"no picture")
        assert unreadable.result(60).status_code == 422
        held.may.set()
        codes = [future.result(60).status_code for future in (first, good, bad)]
        assert ask(served, 2).status_code == 200
    assert codes == [200, 200, 500]
    assert (
        bad.result().json()["error"] == "The model failed on this input; the server's log says why."
    )
    assert "it is too bright" in caplog.text


def test_same_knows_a_difference() -> None:
    assert same({"a": [1.0, "x"]}, {"a": [1.0 + 1e-6, "x"]})
    assert not same({"a": 1.0}, {"a": 1.01}) and not same({"a": 1.0}, {"b": 1.0})
