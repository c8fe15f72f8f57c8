"""Checks within seconds, rather than minutes, whether a server can be reached."""

from __future__ import annotations

import queue
import threading
import urllib.error
import urllib.request

from mmft_core.errors import WeightsError, first_line

REACH_SECONDS = 5.0
"""How long a hub may take to answer at all before it counts as unreachable."""


def ensure_reachable(url: str, seconds: float = REACH_SECONDS) -> None:
    """Find out in seconds whether a server answers, through proxies if there are any.

    Raises:
        WeightsError: it does not, or has nothing there.
    """
    code = _answer(url, seconds)
    # Some servers refuse only HEAD.
    if code in (404, 410) or code >= 500:
        raise WeightsError(f"{url} cannot be reached: HTTP Error {code}.")


def is_there(url: str, seconds: float = REACH_SECONDS) -> bool:
    """Find out in seconds whether a server has something to show there.

    Raises:
        WeightsError: it does not answer.
    """
    code = _answer(url, seconds)
    if code >= 500:
        raise WeightsError(f"{url} cannot be reached: HTTP Error {code}.")
    return code < 400


def _answer(url: str, seconds: float) -> int:
    """The status with which a server answers."""
    answer: queue.Queue[Exception | int] = queue.Queue()

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
            answer.put(200)
        except urllib.error.HTTPError as error:
            answer.put(error.code)
        except Exception as error:  # No route, no such name, no HTTP, no URL: all of it is a no.
            answer.put(error)

    # Name resolution heeds no socket time-out, so it runs in a thread that may be left behind.
    threading.Thread(target=probe, daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise WeightsError(f"{url} did not answer within {seconds:g} s.") from None
    if isinstance(found, int):
        return found
    # A URLError that is no HTTP answer wraps what the system said.
    reason = getattr(found, "reason", None)
    cause = reason if isinstance(reason, OSError) else found
    raise WeightsError(f"{url} cannot be reached: {first_line(cause)}.")
