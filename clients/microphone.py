"""Microphone -> a live conversation.

    python -m clients.microphone

Ctrl-C ends the session; the words spoken by then are still waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import queue
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from clients.connection import Connection, connect
from clients.errors import MicrophoneFailed
from clients.lines import View, clean
from clients.opening import CA_HELP, DEFAULT_URL, ENVIRONMENT, read_token
from clients.player import in_parallel
from clients.program import FAILED, FINE, USAGE, complain, interrupt_calls, run
from clients.schedule import CHUNK_S
from clients.terminal import choose_view
from stream_erc.events import AudioFormat

RATE_HZ = 16_000  # what the server works at; any other is resampled there
MIN_RATE_HZ, MAX_RATE_HZ = 8000, 48_000  # of the protocol
QUEUE_S = 10.0  # of audio held while the server holds us back
SILENT_S = 5.0  # a device that gives nothing for so long is gone
INPUT_OVERFLOW = 0x2  # portaudio.h: paInputOverflow
CONTINUE, COMPLETE = 0, 1  # portaudio.h: paContinue, paComplete
EXIT_CODES = """exit codes:
  0    the session ended as it should
  1    no such microphone, or the server could not be reached, refused, or broke off
  2    wrong usage, or PyAudio is missing
  130  interrupted twice
"""
MISSING = (
    "the microphone needs PyAudio: pip install 'stream-erc[mic]' "
    "(on Debian first: apt-get install portaudio19-dev)"
)


class Recorder:
    """The callback of an audio stream, and its chunks on the event loop.

    PortAudio calls it in a thread of its own that must never wait, so chunks go
    through a bounded queue; what does not fit is dropped and counted.

    Attributes:
        n_overflows: How often the device had lost audio before the callback ran.
        n_dropped: Chunks lost because the server took them too slowly.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_chunks: int = round(QUEUE_S / CHUNK_S),
    ):
        """Begin with nothing recorded."""
        self.n_overflows = 0
        self.n_dropped = 0
        self._loop = loop
        self._chunks: queue.Queue[bytes] = queue.Queue(max_chunks)
        self._changed = asyncio.Event()  # a chunk has come, or the end
        self._stopped = False

    def __call__(
        self, audio: bytes, n_frames: int, times: object, status: int
    ) -> tuple[None, int]:
        """Take a chunk; called by PortAudio."""
        if self._stopped:
            return None, COMPLETE
        if status & INPUT_OVERFLOW:
            self.n_overflows += 1
        try:
            self._chunks.put_nowait(audio)
        except queue.Full:
            self.n_dropped += 1
        else:
            self._loop.call_soon_threadsafe(self._changed.set)
        return None, CONTINUE

    def stop(self) -> None:
        """End `chunks` after those recorded so far."""
        self._stopped = True
        self._changed.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the chunks as they come.

        Raises:
            MicrophoneFailed: If none comes for `SILENT_S`.
        """
        while True:
            try:
                yield self._chunks.get_nowait()
                continue
            except queue.Empty:
                if self._stopped:
                    return
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._changed.wait()
            except TimeoutError as error:
                raise MicrophoneFailed(
                    f"microphone: no audio for {SILENT_S:.0f} s"
                ) from error
            self._changed.clear()

    def losses(self) -> str:
        """Say what was lost; "" if nothing was."""
        if not self.n_overflows and not self.n_dropped:
            return ""
        return (
            f"microphone: {self.n_overflows} overflows in the device, "
            f"{self.n_dropped * CHUNK_S:.2f} s dropped for a slow server"
        )


async def listen(arguments: argparse.Namespace, pyaudio: ModuleType) -> int:
    """Send the microphone until Ctrl-C, show what comes back, give the exit code."""
    rate_hz = arguments.rate or choose_rate(pyaudio, arguments.device)
    view = choose_view(as_json=arguments.json)
    recorder = Recorder(asyncio.get_running_loop())
    async with connect(
        arguments.url,
        audio=AudioFormat(encoding="pcm_s16le", sample_rate=rate_hz, channels=1),
        speaker=arguments.speaker,
        conversation_id=arguments.conversation,
        observe=arguments.conversation is not None,
        language=arguments.language,
        token=read_token(),
        ca=arguments.ca,
    ) as connection:
        try:
            with (
                view,
                interrupt_calls(recorder.stop),
                recording(pyaudio, recorder, arguments.device, rate_hz),
            ):
                view.note("listening; Ctrl-C ends the session")
                await in_parallel(
                    send(connection, recorder, view), watch(connection, view)
                )
        finally:  # a table of what there was is worth having
            view.summarize([])
    return FINE


async def send(connection: Connection, recorder: Recorder, view: View) -> None:
    """Send what is recorded, tell of every loss, end the session."""
    told = ""
    async for chunk in recorder.chunks():
        await connection.send_audio(chunk)
        if recorder.losses() != told:
            told = recorder.losses()
            view.note(told)
    await connection.end()


async def watch(connection: Connection, view: View) -> None:
    """Show everything that the server sends, until the session has ended."""
    async for arrival in connection.arrivals():
        view.show(arrival, connection.send_times)


@contextmanager
def recording(
    pyaudio: ModuleType, recorder: Recorder, device: int | None, rate_hz: int
) -> Iterator[None]:
    """Record into `recorder`.

    Raises:
        MicrophoneFailed: If the device does not open.
    """
    with port_audio(pyaudio) as audio:
        try:
            stream = audio.open(
                format=pyaudio.paInt16,
                channels=1,
                rate=rate_hz,
                input=True,
                input_device_index=device,
                frames_per_buffer=round(CHUNK_S * rate_hz),
                stream_callback=recorder,
            )
        except (OSError, ValueError) as error:
            raise MicrophoneFailed(f"microphone: {explain(error)}") from error
        try:
            yield
        finally:
            stream.close()


@contextmanager
def port_audio(pyaudio: ModuleType) -> Iterator[Any]:
    """Hold PortAudio."""
    audio = pyaudio.PyAudio()
    try:
        yield audio
    finally:
        audio.terminate()


def choose_rate(pyaudio: ModuleType, device: int | None) -> int:
    """Give the server's own rate if the device has it, else the device's.

    Raises:
        MicrophoneFailed: If there is no such device.
    """
    with port_audio(pyaudio) as audio:
        try:
            info = (
                audio.get_default_input_device_info()
                if device is None
                else audio.get_device_info_by_index(device)
            )
        except OSError as error:
            raise MicrophoneFailed(f"microphone: {explain(error)}") from error
        try:
            audio.is_format_supported(
                RATE_HZ,
                input_device=info["index"],
                input_channels=1,
                input_format=pyaudio.paInt16,
            )
        except ValueError:
            own_hz: int = round(info["defaultSampleRate"])
            return min(max(own_hz, MIN_RATE_HZ), MAX_RATE_HZ)
    return RATE_HZ


def list_devices(pyaudio: ModuleType) -> int:
    """Print every device that can record; give the exit code."""
    with port_audio(pyaudio) as audio:
        numbers = range(audio.get_device_count())
        devices = [audio.get_device_info_by_index(number) for number in numbers]
    found = [info for info in devices if info["maxInputChannels"] > 0]
    for info in found:
        rate_hz = round(info["defaultSampleRate"])
        print(f"{info['index']}: {clean(info['name'])}, {rate_hz} Hz")
    if not found:
        complain("microphone: no device here can record")
    return FINE if found else FAILED


def explain(error: Exception) -> str:
    """Give PortAudio's own words, which come beside a number."""
    return next((each for each in error.args if isinstance(each, str)), str(error))


def rate(text: str) -> int:
    """Read the argument of `--rate`.

    Raises:
        ValueError: If the protocol does not allow it.
    """
    if not MIN_RATE_HZ <= int(text) <= MAX_RATE_HZ:
        raise ValueError(text)
    return int(text)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m clients.microphone",
        description=__doc__,
        epilog=EXIT_CODES + ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--url", default=DEFAULT_URL, help="of the server (default: %(default)s)")
    add("--ca", type=Path, metavar="FILE", help=CA_HELP)
    add("--speaker", default="speaker", help="who speaks (default: %(default)s)")
    add("--conversation", metavar="ID", help="sessions with one ID share a context")
    add("--language", help="of the speech (default: the server's)")
    add("--device", type=int, metavar="N", help="see --list-devices")
    add("--list-devices", action="store_true", help="print what can record, and exit")
    add(
        "--rate",
        type=rate,
        metavar="HZ",
        help=f"8000 to 48000 (default: {RATE_HZ} where the device has it, or its own)",
    )
    add("--json", action="store_true", help="print every event as a line of JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Record as the command line says; give the exit code."""
    arguments = make_parser().parse_args(argv)
    try:
        pyaudio = importlib.import_module("pyaudio")
    except ImportError:
        complain(MISSING)
        return USAGE
    if arguments.list_devices:
        return list_devices(pyaudio)
    return run(listen(arguments, pyaudio))


if __name__ == "__main__":
    sys.exit(main())
