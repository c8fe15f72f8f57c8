"""What a server writes: a line for each request if it is asked to, and no flood."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from mmft_serve import logs
from tests.serve.test_command import forked
from tests.serve.tools import serving

ID = re.compile(r"[0-9a-f]{32}")
SECRETS = ("s3cret", "confidential", "FORGED\n", "\x1b", "token=")


def test_the_access_log(topics: Path) -> None:
    options = ("--access-log", "--log-format", "json", "--drain-delay", "0")
    with forked(topics, *options, MMFT_API_KEY="s3cret") as (process, address):
        key = {"authorization": "Bearer s3cret"}
        with httpx.Client(base_url=address, headers=key, timeout=60, trust_env=False) as client:
            own = {"x-request-id": "order-7/a"}
            question = {"text": "something confidential"}
            first = client.post("/predict?token=1", json=question, headers=own)
            refused = client.post("/predict", json={"sound": 1})
            client.get("/%0d%0aFORGED%1b[31m", headers={"x-request-id": "two words"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        text = process.told
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["access"] * 3
    assert not any(secret in text for secret in SECRETS)
    answered, wrong, forged = lines
    assert datetime.fromisoformat(answered["time"]).tzinfo is not None
    assert (answered["method"], answered["path"], answered["status"]) == ("POST", "/predict", 200)
    assert answered["client"] == "127.0.0.1" and answered["id"] == "order-7/a"
    assert first.headers["x-request-id"] == "order-7/a"
    assert answered["sent"] == len(first.content) and answered["received"] > 20
    assert 0 <= answered["wait_ms"] <= answered["ms"]
    assert wrong["status"] == 422 and wrong["wait_ms"] is None
    assert ID.fullmatch(wrong["id"]) and refused.headers["x-request-id"] == wrong["id"]
    assert forged["path"] == "/%0d%0aFORGED%1b[31m" and ID.fullmatch(forged["id"])


def test_an_error_names_its_request(topics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, access = list(root.handlers), logging.getLogger("mmft.access")
    kept = list(access.handlers), access.level, access.propagate

    def around(compute: object) -> object:
        def failing(batch: object) -> object:
            raise KeyError("\x1b[31m")

        return failing

    try:
        logs.configure_logs(True, "plain")
        with serving(topics, around) as served:
            headers = {"x-request-id": "abc"}
            answer = served.client.post("/predict", json={"text": "hello"}, headers=headers)
    finally:
        root.handlers[:] = before
        access.handlers[:], access.level, access.propagate = kept
    error = capsys.readouterr().err
    assert answer.status_code == 500
    assert "ERROR The model failed on an input. id=abc\n    Traceback" in error
    assert "\x1b" not in error
    line = error.splitlines()[-1]
    assert re.fullmatch(
        r"\S+T\S+[+-]\d\d:\d\d 127\.0\.0\.1 POST /predict 500 received=\d+ sent=\d+ ms=[\d.]+"
        r" wait_ms=- id=abc",
        line,
    ), line


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "", 0, message, arguments, None)


def failed(call: Callable[[], object]) -> logging.LogRecord:
    """The record of a request that failed as a call does."""
    try:
        call()
    except Exception:
        return logging.LogRecord("x", logging.ERROR, "", 0, "It failed.", (), sys.exc_info())
    raise AssertionError("The call did not fail.")


def test_every_kind_of_error_is_written() -> None:
    """However many of another kind, or from another place, have been counted only."""
    throttle = logs.Throttle(most=2, seconds=60.0)
    calls = (
        lambda: 1 / 0,
        lambda: int("x"),
        lambda: int("y"),
        lambda: {}["z"],
    )
    written = [[throttle.filter(failed(call)) for _ in range(5)] for call in calls]
    assert written == [[True, True, False, False, False]] * len(calls)


def test_a_log_that_cannot_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    throttle = logs.Throttle(most=3, seconds=60.0)
    written = [r.getMessage() for k in range(1000) if throttle.filter(r := record("bad %d", k))]
    assert written[:2] == ["bad 0", "bad 1"] and len(written) == 3
    assert written[2].startswith("bad 2 (more like this")
    assert throttle.filter(record("another")), "other lines are not kept back"
    now = 61.0
    last = record("bad %d", 1)
    assert throttle.filter(last)
    assert last.getMessage() == "bad 1 (997 more like this since the last one)"
    many = [throttle.filter(record(f"kind {k}")) for k in range(10_000)]
    assert sum(many) < 1000
