"""What was sent, kept for as long as it may have to be sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from clients.errors import ConnectionLost

MAX_BYTES = 16 << 20
"""Nearly nine minutes of 16 kHz PCM16, more than the buffers on the way hold."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One message as it was sent.

    Attributes:
        message: Audio, or JSON.
        audio_start: Bytes of audio sent before it.
        n_texts: Text messages sent up to it, `session.start` and itself among them.
    """

    message: bytes | str
    audio_start: int
    n_texts: int

    @property
    def audio_end(self) -> int:
        """Bytes of audio sent up to its end."""
        is_audio = isinstance(self.message, bytes)
        return self.audio_start + (len(self.message) if is_audio else 0)


class Tape:
    """The newest messages of a session, in their order.

    Args:
        sample_bytes: Of one sample of all channels, as declared.
        rate_hz: As declared.
        max_bytes: Beyond it the oldest are forgotten, unless the tape is held.
    """

    def __init__(
        self, sample_bytes: int, rate_hz: int, max_bytes: int = MAX_BYTES
    ) -> None:
        self._sample_bytes = sample_bytes
        self._rate_hz = rate_hz
        self._max_bytes = max_bytes
        self._pieces: deque[Piece] = deque()
        self._kept_bytes = 0
        self._audio_bytes = 0  # sent in all
        self._n_texts = 1  # sent in all; `session.start` is not kept
        self._forgotten = Piece("", 0, 1)  # the last one that is
        self._is_held = False
        self._held_bytes = 0  # came since

    @property
    def is_full(self) -> bool:
        """Whether so much came while the tape was held that no more should."""
        return self._is_held and self._held_bytes >= self._max_bytes

    @property
    def n_texts(self) -> int:
        """How many text messages were sent in all, `session.start` among them."""
        return self._n_texts

    @property
    def duration_ms(self) -> float:
        """How much audio was sent in all."""
        return self._audio_bytes / self._sample_bytes / self._rate_hz * 1000

    def samples_at(self, time_ms: int) -> int:
        """Give how many samples there are before a time on the audio clock."""
        return time_ms * self._rate_hz // 1000

    def hold(self) -> None:
        """Forget nothing for want of room: there is no socket."""
        self._is_held, self._held_bytes = True, 0

    def release(self) -> None:
        """Forget what is too much again."""
        self._is_held = False
        self._trim()

    def add(self, message: bytes | str) -> None:
        """Keep a message that is about to be sent."""
        self._n_texts += isinstance(message, str)
        piece = Piece(message, self._audio_bytes, self._n_texts)
        self._audio_bytes = piece.audio_end
        self._pieces.append(piece)
        self._kept_bytes += len(message)
        self._held_bytes += len(message)
        self._trim()

    def confirm(self, time_ms: int) -> None:
        """Forget what the server must have: it has processed so much audio."""
        certain = self.samples_at(time_ms - 1) * self._sample_bytes
        while self._pieces and (
            self._pieces[0].audio_start < self._pieces[0].audio_end <= certain
            or self._pieces[0].audio_end < certain
        ):
            self._forget()

    def after(self, n_samples: int, n_texts: int) -> list[bytes | str]:
        """Give all that follows on what the server has.

        Args:
            n_samples: Received by the server.
            n_texts: Likewise, `session.start` among them.

        Raises:
            ConnectionLost: If some of it is forgotten.
        """
        audio_start = n_samples * self._sample_bytes
        self._require_kept(audio_start, n_texts)
        again: list[bytes | str] = []
        for piece in self._pieces:
            if isinstance(piece.message, str):
                again += [piece.message] * (piece.n_texts > n_texts)
            elif piece.audio_end > audio_start:
                again.append(piece.message[max(0, audio_start - piece.audio_start) :])
        return again

    def cut(self, n_samples: int, n_texts: int) -> Tape:
        """Give the tape of what `after` gives, held, as if it were sent anew.

        Raises:
            ConnectionLost: If some of it is forgotten.
        """
        rest = Tape(self._sample_bytes, self._rate_hz, self._max_bytes)
        rest.hold()
        for message in self.after(n_samples, n_texts):
            rest.add(message)
        return rest

    def _require_kept(self, audio_start: int, n_texts: int) -> None:
        if self._forgotten.audio_end > audio_start or self._forgotten.n_texts > n_texts:
            n_samples = audio_start // self._sample_bytes
            raise ConnectionLost(
                "audio_lost",
                f"expected to send again from sample {n_samples} on, but no more than "
                f"{self._max_bytes} bytes are kept; the session cannot go on",
            )

    def _trim(self) -> None:
        while not self._is_held and self._kept_bytes > self._max_bytes:
            self._forget()

    def _forget(self) -> None:
        self._forgotten = self._pieces.popleft()
        self._kept_bytes -= len(self._forgotten.message)
