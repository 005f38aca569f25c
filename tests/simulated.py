"""A server without network, threads and waiting: sessions by the thousand.

Everything between a socket and the models is the product's. Sockets are two queues,
time passes when there is nothing to do, models answer as `director_cases` has it.
"""

import asyncio
import selectors
from collections import deque
from concurrent.futures import Future

from director_cases import answer, is_partial
from scripted_models import Loudness, ScriptedModels
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.http11 import Request

from stream_erc import events, sessions
from stream_erc.admission import Admission
from stream_erc.rounds import Rounds
from stream_erc.server import Server

GONE = 1006


class Stuck(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class _Instant(selectors.DefaultSelector):
    """Lets time pass instead of waiting for it."""

    def __init__(self):
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Stuck
        self.passed_s += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes while it would wait."""

    def __init__(self):
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self):
        return self._instant.passed_s


class DelayedEngine:
    """Answers each request after some time, in any order; overtakes partials.

    Attributes:
        dice: Draws when.
        answer: Stands in for the models.
        n_waiting: Requests without an answer.
        delays_s: Of answers.
    """

    dice = None
    delays_s = (0.0, 0.0, 0.01, 0.1, 1.0)
    answer = staticmethod(answer)

    def __init__(self, *_):
        self._waiting = {}

    @property
    def n_waiting(self):
        return len(self._waiting)

    def submit(self, request):
        future = Future()
        self._waiting[id(future)] = request, future
        delay_s = self.dice.choice(self.delays_s)
        asyncio.get_running_loop().call_later(delay_s, self._settle, id(future))
        return future

    def _settle(self, key):
        if key not in self._waiting:
            return
        request, future = self._waiting.pop(key)
        if is_partial(request) and self.dice.random() < 0.2:
            future.cancel()
        if future.set_running_or_notify_cancel():
            future.set_result(self.answer(request))

    def cancel(self, session):
        for key, (request, future) in list(self._waiting.items()):
            if request.origin.session == session:
                del self._waiting[key]
                future.cancel()

    trouble = None
    delay_s = 0.0

    def waiting(self):
        return {}

    def close(self):
        assert not self._waiting


class Socket:
    """One WebSocket as the server sees it, and its other end.

    Attributes:
        heard: What came from the server, oldest first, until `cut`.
        is_read: While it is not set, the client takes nothing.
    """

    request = Request(events.PATH, Headers(), "HTTP/1.1")
    remote_address = ("192.0.2.1", 1)

    def __init__(self, n_ahead=4):
        self.heard = []
        self.is_read = asyncio.Event()
        self.is_read.set()
        self.close_code = self.close_reason = None
        self._said = deque()  # on its way to the server
        self._n_ahead = n_ahead
        self._moved = asyncio.Event()

    # --- the server's end -------------------------------------------------------

    async def recv(self):
        while not self._said:
            self._require_open()
            await self._next_move()
        self._tell()
        return self._said.popleft()

    async def send(self, text):
        self._require_open()
        while not self.is_read.is_set():
            await self._next_move()
            self._require_open()
        self.heard.append(text)
        self._tell()

    async def close(self, code=1000, reason=""):
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._tell()

    # --- the client's end -------------------------------------------------------

    async def say(self, message):
        """Send; waits while the server reads nothing."""
        while len(self._said) >= self._n_ahead and self.close_code is None:
            await self._next_move()
        if self.close_code is None:
            self._said.append(message)
            self._tell()

    def pause(self, is_read):
        (self.is_read.set if is_read else self.is_read.clear)()
        self._tell()

    def cut(self, n_lost=0):
        """Lose the socket, and the last so many messages of each way."""
        if self.close_code is None:
            self.close_code = GONE
            for _ in range(min(n_lost, len(self._said))):
                self._said.pop()
            del self.heard[max(0, len(self.heard) - n_lost) :]
        self._tell()

    async def until_closed(self):
        while self.close_code is None:
            await self._next_move()

    async def until_heard(self):
        """Wait for the first message, or the end."""
        while not self.heard and self.close_code is None:
            await self._next_move()

    # --- both -------------------------------------------------------------------

    def _require_open(self):
        if self.close_code is not None:
            sent = None if self.close_code == GONE else Close(self.close_code, "")
            raise ConnectionClosedError(sent, sent)

    async def _next_move(self):
        await self._moved.wait()

    def _tell(self):
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class World:
    """A server, and the tasks that its sockets are served in."""

    def __init__(self, settings, monkeypatch):
        monkeypatch.setattr(sessions, "LocalEngine", DelayedEngine)
        monkeypatch.setattr(Rounds, "_hire", lambda _: None)  # no threads:
        monkeypatch.setattr(Rounds, "_send", Rounds._travel)
        self.server = Server(
            settings, Admission(settings.server), ScriptedModels(), Loudness()
        )
        self._tasks = set()

    def dice(self, dice):
        """Let these draw from here on."""
        DelayedEngine.dice = dice

    def dial(self):
        socket = Socket()
        task = asyncio.create_task(self.server._accept(socket))
        self._tasks.add(task)
        return socket

    async def until_empty(self):
        """Wait until every session is over; nothing of it may be left."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        while self.server._sessions._kept:  # noqa: ASYNC110
            await asyncio.sleep(1)
        await asyncio.sleep(60)  # conversations expire
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others
        assert self.server._sessions._engine.n_waiting == 0
        assert len(self.server._sessions._conversations) == 0

    def count(self, name, **labels):
        return self.server.metrics.registry.get_sample_value(name, labels) or 0
