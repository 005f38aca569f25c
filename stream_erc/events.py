"""Wire protocol v1: every message as a class, and how it becomes JSON.

`docs/protocol.md` is the contract. Clients import this module alone: it needs
neither numpy nor a model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from .names import Identifier, Name, Secret

SUBPROTOCOL = "stream-erc.v1"
PATH = "/v1/stream"
ROUTE = "conversation"  # in its query: by it a load balancer finds the server

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw"]
PartialsLeft = Literal["all", "slower", "emotion", "none"]  # as they are given up
Reason = Literal["silence", "flush", "speaker", "max_length", "end"]
Modality = Literal["audio", "text"]
Modalities = Annotated[tuple[Modality, ...], Meta(min_length=1, max_length=2)]

# --- client to server ----------------------------------------------------------


class AudioFormat(Struct, frozen=True, kw_only=True):
    """What the binary frames hold."""

    encoding: Encoding
    sample_rate: Annotated[int, Meta(ge=8000, le=48000)]
    channels: Annotated[int, Meta(ge=1, le=2)]


class SessionStart(Struct, frozen=True, kw_only=True, tag="session.start"):
    """The first message. `modalities` bars the model from the others.

    `observe`: the other participants' turns are wanted, too.
    """

    audio: AudioFormat
    speaker: Name = "speaker"
    conversation_id: Name | None = None
    language: Name | None = None
    partials: bool = True
    observe: bool = False
    modalities: Modalities = get_args(Modality)


class SessionResume(Struct, frozen=True, kw_only=True, tag="session.resume"):
    """The first message on a new socket after a drop."""

    session_id: Secret
    resume_token: Secret
    last_seq: Annotated[int, Meta(ge=-1, le=2**53)]


class SpeakerSet(Struct, frozen=True, kw_only=True, tag="speaker.set"):
    """The audio after it is another speaker's."""

    speaker: Name


class ContextAdd(Struct, frozen=True, kw_only=True, tag="context.add"):
    """A turn that was not heard."""

    speaker: Name
    text: Annotated[str, Meta(min_length=1, max_length=10_000)]


class TurnFlush(Struct, frozen=True, kw_only=True, tag="turn.flush"):
    """End the running turn now."""


class MarkerSet(Struct, frozen=True, kw_only=True, tag="marker"):
    """Echo this once the audio before it is done with."""

    id: Identifier


class Ping(Struct, frozen=True, kw_only=True, tag="ping"):
    """Answer at once."""

    id: Identifier


class SessionEnd(Struct, frozen=True, kw_only=True, tag="session.end"):
    """Finish what was heard."""


ClientMessage = (
    SessionStart
    | SessionResume
    | SpeakerSet
    | ContextAdd
    | TurnFlush
    | MarkerSet
    | Ping
    | SessionEnd
)

# --- server to client ----------------------------------------------------------


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every server message has; `seq` is given when it leaves."""

    seq: int = -1
    time_ms: int = 0


class TurnEvent(Event, frozen=True, kw_only=True):
    """A message about one turn."""

    turn: int


class SessionResumed(Struct, frozen=True, kw_only=True, tag="session.resumed"):
    """The session goes on: what came of the client; without `seq` and `time_ms`."""

    samples_received: int
    client_messages_received: int


class Limits(Struct, frozen=True, kw_only=True):
    """What the server allows, and how it cuts turns."""

    max_frame_bytes: int
    max_text_bytes: int
    max_session_s: float
    idle_timeout_s: float
    max_turn_ms: int
    end_silence_ms: int
    pre_roll_ms: int
    resume_window_s: float


class SessionStarted(Event, frozen=True, kw_only=True, tag="session.started"):
    """The session is open; audio may come. `recorded`: the server keeps it."""

    session_id: str
    resume_token: str | None
    protocol: int
    labels: tuple[str, ...]
    limits: Limits
    recorded: bool = False
    conversation_turns: int = 0  # so many are remembered here


class SpeechStarted(Event, frozen=True, kw_only=True, tag="speech.started"):
    """A voice began at `at_ms`."""

    at_ms: int


class SpeechStopped(Event, frozen=True, kw_only=True, tag="speech.stopped"):
    """The voice ended at `at_ms`."""

    at_ms: int


class TurnStarted(TurnEvent, frozen=True, kw_only=True, tag="turn.started"):
    """A turn began; `start_ms` has the pre-roll, `voice_start_ms` has not."""

    speaker: str | None
    start_ms: int
    voice_start_ms: int


class TranscriptPartial(TurnEvent, frozen=True, kw_only=True, tag="transcript.partial"):
    """The words so far; the first `stable_chars` stay in later partials."""

    revision: int
    text: str
    stable_chars: int


class EmotionPartial(TurnEvent, frozen=True, kw_only=True, tag="emotion.partial"):
    """What the turn conveys so far."""

    revision: int
    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    modalities: tuple[str, ...]


class TurnResumed(TurnEvent, frozen=True, kw_only=True, tag="turn.resumed"):
    """The speaker went on during the end silence."""


class TurnEnded(TurnEvent, frozen=True, kw_only=True, tag="turn.ended"):
    """The turn is over, decided when `decided_ms` of audio had been processed."""

    speaker: str
    start_ms: int
    end_ms: int
    decided_ms: int
    reason: Reason


class WordTiming(Struct, frozen=True, kw_only=True):
    """One word of a final transcript, on the audio clock."""

    word: str
    start_ms: int
    end_ms: int
    probability: float


class TranscriptFinal(TurnEvent, frozen=True, kw_only=True, tag="transcript.final"):
    """What was said; `rejected` where it was judged not to be speech."""

    text: str
    words: tuple[WordTiming, ...]
    rejected: bool


class Latency(Struct, frozen=True, kw_only=True):
    """Wall times: decided to sent, the models' work, its waiting; the work by stage."""

    endpoint_ms: float
    compute_ms: float
    queue_ms: float
    hear_ms: float = 0.0
    understand_ms: float = 0.0


class EmotionFinal(TurnEvent, frozen=True, kw_only=True, tag="emotion.final"):
    """What the turn conveys; never taken back."""

    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    modalities: tuple[str, ...]
    context_turns: int
    context_seq: int
    latency: Latency


class ConversationTurn(Event, frozen=True, kw_only=True, tag="conversation.turn"):
    """Another participant's turn with its finals, for a session that observes."""

    session_id: str
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    rejected: bool
    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    modalities: tuple[str, ...]
    context_turns: int
    context_seq: int


class Marker(Event, frozen=True, kw_only=True, tag="marker"):
    """The audio before the marker is done with."""

    id: str | int


class Pong(Event, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping."""

    id: str | int


class Warn(Event, frozen=True, kw_only=True, tag="warning"):
    """Something was altered or ignored; the session goes on."""

    code: str
    message: str


class Failure(Event, frozen=True, kw_only=True, tag="error"):
    """Something was refused; unless `recoverable`, the socket closes next."""

    code: str
    message: str
    recoverable: bool


class Status(Event, frozen=True, kw_only=True, tag="status"):
    """How far the server is behind, and what is left of partials."""

    lag_ms: int
    degraded: bool
    partials: PartialsLeft = "all"


class SessionEnded(Event, frozen=True, kw_only=True, tag="session.ended"):
    """The last message of a session that ended well."""

    turns: int
    audio_ms: int
    client_messages_received: int = 1  # as in `session.resumed`


ServerEvent = (
    SessionStarted
    | SpeechStarted
    | SpeechStopped
    | TurnStarted
    | TranscriptPartial
    | EmotionPartial
    | TurnResumed
    | TurnEnded
    | TranscriptFinal
    | EmotionFinal
    | ConversationTurn
    | Marker
    | Pong
    | Warn
    | Failure
    | Status
    | SessionEnded
)

ServerMessage = ServerEvent | SessionResumed

_encoder = msgspec.json.Encoder()
_server_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ServerMessage)
_server_types = {kind.__struct_config__.tag for kind in get_args(ServerMessage)}
E_ = TypeVar("E_", bound=Event)


def encode(message: Event | SessionResumed | ClientMessage) -> str:
    """Write a message as JSON."""
    return _encoder.encode(message).decode()


def numbered(event: E_, seq: int) -> E_:
    """Give an event its place among those sent."""
    return msgspec.structs.replace(event, seq=seq)


def parse_server(text: str) -> ServerMessage | None:
    """Read what a server sent; None for a type that this version does not know."""
    try:
        return _server_decoder.decode(text)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        raw = msgspec.json.decode(text)
        if not isinstance(raw, dict) or raw.get("type") in _server_types:
            raise
        return None
