"""Memory that runs out: one request is refused, all others are answered, the server lives on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmft_core.contracts import Batch
from tests.serve.test_command import forked
from tests.serve.test_refusals import bomb
from tests.serve.tools import Held, digit, plain, serving

TORCH = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(TORCH)])
def test_one_input_that_does_not_fit(
    error: Exception, digits: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It shares a batch with others, who are answered."""
    held = Held()
    sizes: list[int] = []

    def around(compute: Callable[[Batch], Any]) -> Callable[[Batch], Any]:
        def small(batch: Batch) -> Any:
            pixels = batch.inputs["image"]["pixels"].float()
            sizes.append(len(pixels))
            if int(pixels.mean(dim=(1, 2, 3)).max()) > 250:
                raise error
            return compute(batch)

        return held.around(small)

    with serving(digits, around) as served, ThreadPoolExecutor(8) as clients:
        first = clients.submit(served.predict, image=digit(0))
        assert held.began.wait(60)
        others = [clients.submit(served.predict, image=digit(k)) for k in range(3)]
        greedy = clients.submit(served.predict, image=plain("white"))
        served.await_inputs(5)
        held.may.set()
        assert [f.result(60).status_code for f in (first, *others)] == [200] * 4
        refused = greedy.result(60)
        assert served.predict(image=digit(4)).status_code == 200
    assert refused.status_code == 413
    assert "needs more memory than the server has; send a smaller one" in refused.json()["error"]
    assert max(sizes) > 1 and sizes.count(1) >= 4, "a batch failed, and each was tried alone"
    assert "Traceback" not in caplog.text and "--max-batch" in caplog.text


def test_an_input_for_which_others_left_no_memory(digits: Path, monkeypatch: Any) -> None:
    """Memory runs out while another request is computed, which may be the cause: 503, not 413."""
    from PIL import Image

    held = Held()
    convert = Image.Image.convert

    def scarce(image: Any, *args: Any, **more: Any) -> Any:
        if image.size == (33, 33):
            raise MemoryError
        return convert(image, *args, **more)

    monkeypatch.setattr(Image.Image, "convert", scarce)
    with serving(digits, held.around) as served, ThreadPoolExecutor(1) as clients:
        first = clients.submit(served.predict, image=digit(0))
        assert held.began.wait(60)
        busy = served.predict(image=digit(1, 33))
        held.may.set()
        assert first.result(60).status_code == 200
        alone = served.predict(image=digit(1, 33))
        assert served.predict(image=digit(1)).status_code == 200
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert alone.status_code == 413


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_a_process_whose_memory_is_limited(digits: Path) -> None:
    import resource

    with (
        forked(digits) as (process, address),
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        files = {"image": digit(0)}
        assert client.post("/predict", files=files).status_code == 200
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 120_000_000
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        for _ in range(2):
            refused = client.post("/predict", files={"image": bomb(7000)})
            assert refused.status_code == 413, refused.text
            assert "needs more memory" in refused.json()["error"]
            assert client.post("/predict", files=files).status_code == 200
        assert client.get("/ready").status_code == 200
