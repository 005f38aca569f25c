"""Memory of a conversation <-> file: what a server that stops leaves for the next one.

A folder that several servers share has a file for each conversation that waits. It is
taken once, by the server at which the conversation goes on, and removed by whoever
finds it too old.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from .context import Context
from .errors import ConfigError, reason
from .logs import fields
from .voices import Voices

log = logging.getLogger(__name__)

HEADER = b"stream-erc conversation 1\n"
"""Tells our files from others; the number is the version of the format."""

SUFFIX = ".conversation"

Key = tuple[str, str]
"""Owner, and what the owner calls the conversation."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a conversation remembers between turns.

    Attributes:
        context: Of the emotion model.
        voices: Of the speakers that were found by voice.
        n_committed: Turns so far: the place of the next one.
    """

    context: Context
    voices: Voices
    n_committed: int


class Left(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file's content.

    Attributes:
        owner: Whose conversation it is.
        conversation_id: What the owner calls it.
        made_with: Fingerprint of the models that the memory is of.
        left_ms: When it was written, in milliseconds since 1970, UTC.
        memory: Of the conversation.
    """

    owner: str
    conversation_id: str
    made_with: str
    left_ms: int
    memory: Memory


class Numbers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An array; its values in row-major order, little-endian."""

    kind: Literal["<f4", "<f8"]
    shape: tuple[int, ...]
    values: bytes


class Handover:
    """Leaves conversations in a folder, and takes them from there.

    Blocks for as long as the disk does; loses nothing but memory where it fails, and
    logs why.

    Args:
        folder: Shared by the servers; made, for its owner alone, where there is none.
        made_with: Fingerprint of the models; see `fingerprint_memory`.
        keep_s: How long a conversation waits.

    Raises:
        ConfigError: If the folder cannot be used.
    """

    def __init__(self, folder: Path, made_with: str, keep_s: float) -> None:
        self._folder = folder
        self._made_with = made_with
        self._keep_s = keep_s
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(b"").unlink()
        except OSError as error:
            raise ConfigError(
                f"server.handover: {folder}: expected a folder that can be written, "
                f"got: {reason(error)}"
            ) from error
        self.sweep()

    def leave(self, key: Key, memory: Memory) -> bool:
        """Write a conversation, in place of what was there of it.

        Returns:
            Whether it is there now.
        """
        owner, identifier = key
        left = Left(
            owner=owner,
            conversation_id=identifier,
            made_with=self._made_with,
            left_ms=time.time_ns() // 1_000_000,
            memory=memory,
        )
        try:
            os.replace(self._write(encode(left)), self._file_of(key))
        except OSError as error:
            log.error(
                "a conversation cannot be left to other servers",
                extra=fields(error=error),
            )
            return False
        return True

    def take(self, key: Key) -> Memory | None:
        """Give a conversation that was left, once; None where there is none to use."""
        file = self._file_of(key)
        taken = file.with_suffix(f".{secrets.token_hex(8)}.taken")
        try:
            os.replace(file, taken)  # of two servers that come, one has it
            content = taken.read_bytes()
            taken.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s: a conversation begins anew: %s", file, reason(error))
            return None
        try:
            return self._open(content, key)
        except (ValueError, msgspec.MsgspecError) as error:
            log.warning("%s: a conversation begins anew: %s", file, error)
            return None

    def _open(self, content: bytes, key: Key) -> Memory:
        """Read a file's content.

        Raises:
            ValueError: If it is not what was left here of this conversation, lately.
            MsgspecError: Likewise.
        """
        left = decode(content)
        if (left.owner, left.conversation_id) != key:
            raise ValueError("expected this conversation, got another one")
        if left.made_with != self._made_with:
            raise ValueError(
                f"expected the memory of models {self._made_with[:12]}, "
                f"got that of {left.made_with[:12]}"
            )
        age_s = time.time() - left.left_ms / 1000
        if abs(age_s) > self._keep_s:
            raise ValueError(
                f"expected what was left within {self._keep_s:g} s, got {age_s:.0f} s "
                "(do the servers' clocks agree?)"
            )
        return left.memory

    def _file_of(self, key: Key) -> Path:
        """Give a file whose name tells nobody of whom it is."""
        told = msgspec.json.encode(key)
        return self._folder / f"{hashlib.sha256(told).hexdigest()}{SUFFIX}"

    def _write(self, content: bytes) -> Path:
        """Write a file of which nobody else knows yet."""
        part = self._folder / f"{secrets.token_hex(8)}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as written:
                written.write(content)
                written.flush()
                os.fsync(written.fileno())
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        return part

    def sweep(self) -> None:
        """Remove what nobody has taken in time, as far as the disk lets us."""
        oldest_s = time.time() - self._keep_s
        with suppress(OSError):
            for file in self._folder.iterdir():
                with suppress(OSError):
                    if is_ours(file) and file.stat().st_mtime < oldest_s:
                        file.unlink()


def is_ours(file: Path) -> bool:
    """Tell by a file's name whether a hand-over wrote it."""
    return file.suffix in (SUFFIX, ".part", ".taken")


def encode(left: Left) -> bytes:
    """Write the content of a file: header, SHA-256, MessagePack."""
    body = msgspec.msgpack.encode(left, enc_hook=spell)
    return HEADER + hashlib.sha256(body).digest() + body


def decode(content: bytes) -> Left:
    """Read the content of a file.

    Raises:
        ValueError: If it is damaged, or none of ours.
        MsgspecError: If something else is in it.
    """
    if not content.startswith(HEADER):
        raise ValueError(
            f"expected a file that begins with {HEADER!r}, got "
            f"{content[: len(HEADER)]!r}"
        )
    digest, body = content[len(HEADER) :][:32], content[len(HEADER) + 32 :]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("expected a whole file, got one whose checksum is another")
    return msgspec.msgpack.decode(body, type=Left, dec_hook=read)


def spell(value: object) -> Numbers:
    """Give an array as MessagePack can have it."""
    assert isinstance(value, np.ndarray)
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    return Numbers(
        kind=little.dtype.str,  # type: ignore[arg-type]
        shape=little.shape,
        values=little.tobytes(),
    )


def read(kind: Any, told: object) -> np.ndarray[Any, Any]:
    """Give an array as it was, to the bit."""
    numbers = msgspec.convert(told, Numbers)
    return np.frombuffer(numbers.values, numbers.kind).reshape(numbers.shape)
