"""What hostile and broken clients send: text, audio and raw frames, kept for ever.

A frame that once did harm gets a line here.
"""

from __future__ import annotations

import json
import struct
from typing import Any

START: dict[str, Any] = {
    "type": "session.start",
    "audio": {"encoding": "mulaw", "sample_rate": 8000, "channels": 1},
}


def start(**changes: Any) -> str:
    """A first message with these fields."""
    return json.dumps(START | changes)


def audio(**changes: Any) -> str:
    """A first message with these fields of its audio."""
    return start(audio=START["audio"] | changes)


def ping(identifier: object) -> str:
    """A ping with this piece of JSON as its id."""
    return f'{{"type":"ping","id":{identifier}}}'


def speaker(name: object) -> str:
    """A change of the speaker to this name."""
    return json.dumps({"type": "speaker.set", "speaker": name})


def many_fields(n_fields: int, **message: Any) -> str:
    """A message with so many fields that nobody knows."""
    return json.dumps(message | {f"k{n}": n for n in range(n_fields)})


DEEP = 30_000

# Name: text, and the code of the error; None: there is nothing wrong with it.
TEXTS: dict[str, tuple[str, str | None]] = {
    # not JSON
    "nothing": ("", "not_json"),
    "a zero byte": ("\0", "not_json"),
    "a byte order mark": ("\ufeff" + ping(1), "not_json"),
    "a record separator": ("\x1e" + ping(1), "not_json"),
    "half an object": ('{"type":"ping"', "not_json"),
    "two objects": (ping(1) + ping(2), "not_json"),
    "a trailing comma": ('{"type":"ping","id":1,}', "not_json"),
    "a comment": ('{"type":"ping"/**/,"id":1}', "not_json"),
    "single quotes": ("{'type':'ping','id':1}", "not_json"),
    "a bare word": ("{type:ping}", "not_json"),
    "a control character in a string": (ping('"\x01"'), "not_json"),
    "half an escape": (ping('"\\u12"'), "not_json"),
    "a lone high surrogate": (ping('"\\ud800"'), "not_json"),
    "a lone low surrogate": (ping('"\\udc00"'), "not_json"),
    "surrogates the wrong way round": (ping('"\\udc00\\ud800"'), "not_json"),
    "a lone surrogate as a key": ('{"\\ud800":1,"type":"ping","id":1}', "not_json"),
    "NaN": (ping("NaN"), "not_json"),
    "infinity": (ping("-Infinity"), "not_json"),
    "a hexadecimal number": (ping("0x10"), "not_json"),
    "a leading zero": (ping("01"), "not_json"),
    "a leading plus": (ping("+1"), "not_json"),
    "a number beyond floats": (ping("1e400"), "not_json"),
    "an exponent beyond all": (ping("1e99999999999999999999"), "not_json"),
    "5000 digits": (ping("9" * 5000), "not_json"),
    "5000 negative digits": (ping("-" + "9" * 5000), "not_json"),
    "braces without end": ("{" * DEEP, "not_json"),
    "brackets without end": ('{"type":' + "[" * DEEP, "not_json"),
    "deep lists": (f'{{"type":{"[" * DEEP}{"]" * DEEP}}}', "not_json"),
    "deep objects": ('{"a":' * 20_000 + "1" + "}" * 20_000, "not_json"),
    "deep lists in an unknown field": (
        f'{{"type":"ping","id":1,"x":{"[" * DEEP}{"]" * DEEP}}}',
        "not_json",
    ),
    # no message
    "null": ("null", "no_type"),
    "a number": ("1", "no_type"),
    "a string": ('"ping"', "no_type"),
    "a long string": (json.dumps("x" * 100_000), "no_type"),
    "a long list": (json.dumps([1] * 40_000), "no_type"),
    "no type": ('{"id":1}', "no_type"),
    "a type in capitals": ('{"TYPE":"ping","id":1}', "no_type"),
    "a type that is null": ('{"type":null}', "no_type"),
    "a type that is an object": ('{"type":{"type":"ping"}}', "no_type"),
    "a type that is a deep list": (f'{{"type":{"[" * 50}{"]" * 50}}}', "no_type"),
    "a type that is given twice": ('{"type":"ping","type":5,"id":1}', "no_type"),
    "many fields and no type": (many_fields(7000), "no_type"),
    "an empty type": ('{"type":""}', "unknown_type"),
    "a padded type": ('{"type":"ping ","id":1}', "unknown_type"),
    "another case": ('{"type":"Ping","id":1}', "unknown_type"),
    "a long type": (json.dumps({"type": "x" * 100_000}), "unknown_type"),
    "a type that turns around": (json.dumps({"type": "\u202e"}), "unknown_type"),
    "a message of the server": ('{"type":"emotion.final"}', "unknown_type"),
    "a key that is no attribute": ('{"type":"__class__"}', "unknown_type"),
    # fields
    "an identifier beyond 64 bits": (ping(2**63), "bad_field"),
    "4000 digits": (ping("9" * 4000), "bad_field"),
    "a tiny fraction": (ping("0." + "0" * 5000 + "1"), "bad_field"),
    "true": (ping("true"), "bad_field"),
    "a list of lists": (ping("[[[[[[[[[[]]]]]]]]]]"), "bad_field"),
    "an empty name": (speaker(""), "bad_field"),
    "a name that is too long": (speaker("x" * 201), "bad_field"),
    "a name that is far too long": (speaker("x" * 100_000), "bad_field"),
    "a name with a zero byte": (speaker("Ann\0"), "bad_field"),
    "a name with a line break": (speaker("Ann\nBob"), "bad_field"),
    "a name with a line break at its end": (speaker("Ann\n"), "bad_field"),
    "a name with a line separator": (speaker("Ann\u2028"), "bad_field"),
    "a name with an escape sequence": (speaker("\x1b[2J"), "bad_field"),
    "a name with a C1 control": (speaker("\x9b2J"), "bad_field"),
    "a name that turns around": (speaker("Ann\u202egnp.exe"), "bad_field"),
    "a name with an isolate": (speaker("\u2066Ann"), "bad_field"),
    "a name with a mark of direction": (speaker("Ann\u200f"), "bad_field"),
    "a name with a byte order mark": (speaker("\ufeffAnn"), "bad_field"),
    "a name that is a number": (speaker(5), "bad_field"),
    "a text that is too long": (
        json.dumps({"type": "context.add", "speaker": "a", "text": "x" * 10_001}),
        "bad_field",
    ),
    "many fields and a missing one": (many_fields(7000, type="marker"), "bad_field"),
    "long fields and a missing one": (
        json.dumps({"type": "marker", "x" * 50_000: 1, "\u202e" * 9000: 2}),
        "bad_field",
    ),
    "a seq before the first": (
        '{"type":"session.resume","session_id":"","resume_token":"","last_seq":-2}',
        "bad_field",
    ),
    "a seq that is no integer": (
        '{"type":"session.resume","session_id":"","resume_token":"","last_seq":1.5}',
        "bad_field",
    ),
    "a seq of 4000 digits": (
        '{"type":"session.resume","session_id":"","resume_token":"","last_seq":'
        + "9" * 4000
        + "}",
        "bad_field",
    ),
    "a long secret": (
        json.dumps(
            {
                "type": "session.resume",
                "session_id": "x" * 60_000,
                "resume_token": "x",
                "last_seq": 0,
            }
        ),
        "bad_field",
    ),
    # nothing wrong
    "spaces around": (" \t\r\n" + ping(1) + "\n", None),
    "an escaped type": ('{"type":"\\u0070ing","id":1}', None),
    "a key given twice": ('{"type":"ping","id":1,"id":2}', None),
    "a pair of surrogates": (ping('"\\ud83d\\ude00"'), None),
    "a zero byte in an identifier": (ping('"\\u0000"'), None),
    "the largest identifier": (ping(2**63 - 1), None),
    "an empty identifier": (ping('""'), None),
    "a long identifier": (ping(json.dumps("x" * 100_000)), None),
    "minus zero": (ping("-0"), None),
    "many unknown fields": (many_fields(7000, type="ping", id=1), None),
    "unknown fields with nasty names": (
        json.dumps(
            {"type": "ping", "id": 1, "\0": 1, "\u202e": 1, "": 1, "x" * 999: 1}
        ),
        None,
    ),
    "a name of many scripts": (speaker("Zoë 李 Ольга 👩\u200d👩\u200d👧"), None),
    "a name like a path": (speaker("../../etc/passwd"), None),
    "a name like markup": (speaker("<script>alert(1)</script>"), None),
    "a name like SQL": (speaker("'; DROP TABLE events; --"), None),
    "a name like a format": (speaker("%s%n{0}{self}"), None),
}

# Name: the first message, and the code of the error.
FIRSTS: dict[str, tuple[str | bytes, str]] = {
    "no audio": ('{"type":"session.start"}', "bad_field"),
    "audio that is null": (start(audio=None), "bad_field"),
    "audio that is a list": (start(audio=[]), "bad_field"),
    "an encoding that is an object": (audio(encoding={"a": 1}), "bad_field"),
    "an unknown encoding": (audio(encoding="opus"), "bad_field"),
    "a rate of nothing": (audio(sample_rate=0), "bad_field"),
    "a negative rate": (audio(sample_rate=-8000), "bad_field"),
    "a fractional rate": (audio(sample_rate=8000.5), "bad_field"),
    "a rate of 4000 digits": (
        audio(sample_rate=1).replace(
            '"sample_rate": 1', '"sample_rate": ' + "9" * 4000
        ),
        "bad_field",
    ),
    "true channels": (audio(channels=True), "bad_field"),
    "a million channels": (audio(channels=1_000_000), "bad_field"),
    "ten thousand modalities": (start(modalities=["audio"] * 10_000), "bad_field"),
    "a modality that is a list": (start(modalities=[["audio"]]), "bad_field"),
    "a language with a zero byte": (start(language="en\0"), "bad_field"),
    "a language that is a path": (start(language="../en"), "unknown_language"),
    "a conversation with a line break": (start(conversation_id="a\r\nb"), "bad_field"),
    "an end before the start": ('{"type":"session.end"}', "not_started"),
    "a ping before the start": (ping(1), "not_started"),
    "no session to come back to": (
        '{"type":"session.resume","session_id":"\\u0000","resume_token":"ö",'
        '"last_seq":9007199254740992}',
        "resume_refused",
    ),
    "audio before the start": (b"\0\0", "not_started"),
    "empty audio before the start": (b"", "not_started"),
    "a mebibyte before the start": (bytes(1 << 20), "not_started"),
}


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """A WebSocket frame as a client sends it, right or wrong (RFC 6455, section 5)."""
    length = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        head += bytes([masked << 7 | length])
    elif length < 1 << 16:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", length)
    return head + (b"\0\0\0\0" if masked else b"") + payload


CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9

# Name: raw bytes on an open session, and the close code.
RAW = {
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "an overlong UTF-8": (frame(TEXT, b"\xc0\xaf"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "half a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "a frame without a mask": (frame(BINARY, b"\0\0", masked=False), 1002),
    "a reserved bit": (frame(BINARY, b"\0\0", rsv=4), 1002),
    "an unknown opcode": (frame(3, b"\0\0"), 1002),
    "an unknown control frame": (frame(11), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"\0\0"), 1002),
    "a message within a message": (
        frame(BINARY, b"\0", fin=False) + frame(TEXT, b"{}"),
        1002,
    ),
    "a ping in pieces": (frame(PING, b"\0", fin=False), 1002),
    "a ping that is too long": (frame(PING, bytes(126)), 1002),
    "a close code of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code that must not be sent": (frame(CLOSE, b"\x03\xed"), 1002),
    "a frame of 9 exabytes": (frame(BINARY, length=2**63 - 1), 1009),
    "pieces that add up to too much": (
        frame(BINARY, bytes(1 << 19), fin=False)
        + frame(CONTINUATION, bytes(1 << 19), fin=False)
        + frame(CONTINUATION, b"\0"),
        1009,
    ),
}
