"""A connection of a client: HTTP/1.1 by uvicorn, watched over by `Connections`."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from mmft_serve.refused import RefusedError

if TYPE_CHECKING:
    from mmft_serve.connections import Connections

MAX_HEADERS = 16 * 1024
"""Bytes of a request's line and headers; more is answered 400."""
_MAX_FRAMING = 256 * 1024
"""Bytes around the chunks of a body beyond those of its content; more is answered 400."""
LINGER = 2.0
"""Seconds in which a client whose request was refused may go on sending before it is cut off.

A connection that is closed with unread bytes is reset, and its client may lose the answer.
"""
_FAREWELL = 1.0
"""Seconds to wait for a request that was already on its way when shutdown began."""


class Phase(Enum):
    """What a connection waits for."""

    NEW = "the first byte"
    HEADERS = "the rest of the headers"
    BODY = "the rest of the body"
    ANSWER = "its answer"
    IDLE = "the next request"
    REFUSED = "the client to close it"


class Connection(H11Protocol):
    """uvicorn's protocol, with a phase and an end for each."""

    def __init__(self, *args: Any, watch: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watch, self.since, self.refusing = watch, self.loop.time(), False
        self.noted: Phase | None = None
        self.refused = False
        """Whether the last answer has been given, and whatever still arrives is dropped."""
        self.content = self.framing = 0
        """Bytes of a body that is arriving, and of what is around its chunks."""
        self.stalled_since: float | None = None
        """Since when the client takes nothing of its answer."""
        self._unsent = 0

    @property
    def phase(self) -> Phase:
        if self.refused:
            return Phase.REFUSED
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.BODY if self.cycle.more_body else Phase.ANSWER
        if self.conn.trailing_data[0]:
            return Phase.HEADERS
        return Phase.NEW if self.cycle is None else Phase.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._note_phase()
        self.watch.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.watch.closed(self)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if self.refusing:
            self.refuse(self.watch.full(), at_once=True)
            return
        while data and not (self.refused or self.transport.is_closing()):
            # h11 compares with its limit only what it cannot make a request of yet.
            plain = self.phase is Phase.BODY and not self._chunked()
            step = len(data) if plain else MAX_HEADERS
            self._receive(data[:step])
            data = data[step:]
        self._note_phase()

    def _receive(self, data: bytes) -> None:
        working = self.phase is Phase.BODY
        before = len(self.cycle.body) if working else 0
        super().data_received(data)
        if self.phase is not Phase.BODY:
            self.framing = self.content = 0
        elif working:
            content = len(self.cycle.body) - before
            self.content += content
            self.framing += len(data) - content
            if self.framing > _MAX_FRAMING + self.content:  # Each chunk takes time, however small.
                self.refuse(RefusedError(400, "The chunks of the request are too small."))

    def _chunked(self) -> bool:
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note_phase()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stalled_since = None

    def note_progress(self, now: float) -> None:
        """Note whether the client has taken some of its answer since the last call."""
        unsent = self.transport.get_write_buffer_size()
        if self.stalled_since is None:
            if self.transport.is_closing():
                self.stalled_since = now
        elif unsent < self._unsent:
            self.stalled_since = now
        self._unsent = unsent

    def shutdown(self) -> None:
        """Close the connection when its request is answered; without one, soon."""
        if self.phase in (Phase.BODY, Phase.ANSWER):
            self.cycle.keep_alive = False
        elif not self.refused:  # One that is refused ends by itself, soon.
            waited = self.loop.time() - self.since
            self.loop.call_later(max(0.0, _FAREWELL - waited), self._end_waiting)

    def refuse(self, refusal: RefusedError, at_once: bool = False) -> None:
        """Answer whatever has arrived with a refusal, and close the connection.

        Args:
            at_once: do not wait for the client to read the answer.
        """
        if self.refused or self.transport.is_closing():
            return
        working = self.phase in (Phase.BODY, Phase.ANSWER)
        state = self.scope["state"] if working else {}
        state.setdefault("id", uuid.uuid4().hex)
        unanswered = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        if unanswered:
            state["refused"] = refusal.status
            self._write(refusal, state["id"])
        if working:  # The application sees that nobody is there, and notes the request.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            self.watch.note(self, refusal.status, state["id"])
        if at_once or not unanswered:
            self.leave()
        else:
            self._linger()

    def _linger(self) -> None:
        """Send nothing more, and drop what arrives until the client, or `Connections`, ends it."""
        self._unset_keepalive_if_required()
        self.refused = True
        self._note_phase()
        self.flow.resume_reading()
        with suppress(OSError):  # The client has gone.
            self.transport.write_eof()

    def leave(self) -> None:
        """Close the connection, with what has still to be sent, if its client takes it."""
        self._unset_keepalive_if_required()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(_FAREWELL, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        self.refuse(
            RefusedError(400, "The request is not valid HTTP, or its headers are too long.")
        )

    def _write(self, refusal: RefusedError, request_id: str) -> None:
        working = self.phase in (Phase.BODY, Phase.ANSWER)
        response = refusal.response(self.scope["path"] if working else "")
        more = (b"x-request-id", request_id.encode()), (b"connection", b"close")
        headers = [*response.raw_headers, *more]
        phrase = STATUS_PHRASES[refusal.status]
        head = self.phase is Phase.BODY and self.scope["method"] == "HEAD"
        for event in (
            h11.Response(status_code=refusal.status, headers=headers, reason=phrase),
            h11.Data(data=b"" if head else bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")

    def _end_waiting(self) -> None:
        if self.phase is Phase.HEADERS:
            self.refuse(RefusedError(503, "The server is shutting down."), at_once=True)
        elif self.phase in (Phase.NEW, Phase.IDLE):
            self.leave()
        elif not self.refused:
            self.cycle.keep_alive = False

    def _note_phase(self) -> None:
        phase = self.phase
        if phase is not self.noted:
            self.noted, self.since = phase, self.loop.time()
            self.watch.moved(self, phase)

    def _unsupported_upgrade_warning(self) -> None:
        """Upgrades, which a client may ask for at will, are ignored without a word."""
