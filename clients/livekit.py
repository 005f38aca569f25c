"""LiveKit Agents: a speech-to-text that hears feelings, too.

ears = STT()
ears.on("emotion", lambda event: print(event.label))
session = AgentSession(stt=ears, llm=..., tts=...)

`STT` gives the words of a stream-erc server, and for each turn an "emotion" event right
before its final transcript. What the agent has said enters the conversation by itself.
Beside another speech-to-text, `STT.overhear` passes audio on and gives the emotions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from weakref import WeakSet

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    APIError,
    ConversationItemAddedEvent,
    LanguageCode,
    stt,
)
from livekit.agents.types import NotGivenOr

from clients.connection import connect
from clients.livekit_stream import EmotionEvent, SpeechStream
from clients.opening import DEFAULT_URL
from clients.sources import FORMAT

__all__ = ["STT", "EmotionEvent", "SpeechStream"]

MAX_WAITING = 1500  # frames that `overhear` lets wait for the server
PATIENT = APIConnectOptions(max_retry=1_000_000, retry_interval=2.0)
"""Of `overhear`: the agent does not depend on it, so it goes on trying."""


class STT(stt.STT):  # type: ignore[misc]
    """Words and feelings of one caller.

    Emits "emotion" with an `EmotionEvent`, besides what every `stt.STT` emits.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        speaker: str = "caller",
        agent: str = "agent",
        conversation_id: str | None = None,
        language: str | None = None,
        token: str | None = None,
        ca: Path | None = None,
    ) -> None:
        """Make it; each stream is a session on the server.

        Args:
            url: ws[s]://HOST:PORT/v1/stream.
            speaker: Name of the caller in the conversation.
            agent: Name of the agent there.
            conversation_id: Sessions with the same one share one context.
            language: Of the speech; None: the server's default.
            token: For a server that wants one.
            ca: PEM file of whoever vouches for the server; None: whom the system
                trusts.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True,
                interim_results=True,
                aligned_transcript="word",
                offline_recognize=False,
                chat_context=True,
                manual_flush=True,
            )
        )
        self._connect = partial(
            connect,
            url,
            audio=FORMAT,
            speaker=speaker,
            conversation_id=conversation_id,
            token=token,
            ca=ca,
        )
        self._agent = agent
        self._language = language
        self._streams: WeakSet[SpeechStream] = WeakSet()

    @property
    def model(self) -> str:
        """Which model the server serves is the server's affair."""
        return "stream-erc"

    @property
    def provider(self) -> str:
        """Where the words come from."""
        return "stream-erc"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechStream:
        """Open a session for audio of any rate, mono or not."""
        spoken = LanguageCode(language).language if language else self._language
        stream = SpeechStream(
            stt=self,
            conn_options=conn_options,
            language=spoken,
            dial=partial(self._connect, language=spoken),
        )
        self._streams.add(stream)
        return stream

    async def overhear(
        self, audio: AsyncIterable[rtc.AudioFrame]
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Pass frames on as they are, and emit "emotion" for what is in them.

        For an agent with another speech-to-text, in its `stt_node`. A server that is
        not there, or behind, costs emotions and nothing else.
        """
        stream = self.stream(conn_options=PATIENT)
        reading = asyncio.create_task(drain(stream), name="overhear")
        try:
            async for frame in audio:
                if not reading.done() and stream.n_waiting < MAX_WAITING:
                    stream.push_frame(frame)
                yield frame
        finally:
            await stream.aclose()
            await reading

    def add_item(self, event: ConversationItemAddedEvent) -> None:
        """Add what the agent has said to the conversation.

        An `AgentSession` calls this for its own `stt`; others need
        `session.on("conversation_item_added", ears.add_item)`.
        """
        item = event.item
        if item.type == "message" and item.role == "assistant" and item.text_content:
            self.add_context(item.text_content, self._agent)

    _push_conversation_item = add_item

    def add_context(self, text: str, speaker: str) -> None:
        """Add a turn that was not heard, such as a line of a chat."""
        if text := text.strip():
            for stream in self._streams:
                stream.do(lambda to: to.add_context(speaker, text))

    async def aclose(self) -> None:
        """Close every stream."""
        for stream in list(self._streams):
            await stream.aclose()

    async def _recognize_impl(self, *_: object, **__: object) -> stt.SpeechEvent:
        raise NotImplementedError(
            "expected stream(), got recognize(): a session is live; "
            "files are for clients.replay"
        )


async def drain(stream: SpeechStream) -> None:
    """Read a stream to its end; `STT` has emitted "error" for what went wrong."""
    with suppress(APIError):
        async for _ in stream:
            pass
