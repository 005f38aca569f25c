"""The recorder loses nothing silently; PyAudio itself is played by a stand-in."""

import asyncio
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
from scripted_server import (
    ENDED,
    STARTED,
    one_turn,
    open_session,
    recorder,
    say,
    scripted_server,
    take_all,
)

from clients import microphone
from clients.errors import ConnectionLost, MicrophoneFailed
from clients.microphone import COMPLETE, CONTINUE, INPUT_OVERFLOW, Recorder
from stream_erc import events

CHUNK = b"\1\0" * 320


class Device:
    """Stands in for the module `pyaudio` and one microphone.

    Calls back from a thread of its own, as PortAudio does, once per entry of `flags`.
    """

    paInt16 = 8

    def __init__(self, flags=(), rates=(16_000, 44_100), is_there=True):
        self.flags = flags
        self.rates = rates
        self.is_there = is_there
        self.asked = None
        self.is_closed = self.is_terminated = False

    def PyAudio(self):
        return self

    def get_device_count(self):
        return 2

    def get_device_info_by_index(self, index):
        names = ["Loudspeaker", "Desk \x1b[31mmicrophone"]
        return {
            "index": index,
            "name": names[index],
            "maxInputChannels": index,
            "defaultSampleRate": 44_100.0,
        }

    def get_default_input_device_info(self):
        if not self.is_there:
            raise OSError("No Default Input Device Available")
        return self.get_device_info_by_index(1)

    def is_format_supported(self, rate_hz, **_):
        if rate_hz not in self.rates:
            raise ValueError("Invalid sample rate", -9997)
        return True

    def open(self, *, stream_callback, **asked):
        if asked["rate"] not in self.rates:
            raise OSError(-9997, "Invalid sample rate")
        self.asked = asked

        def call_back():
            for flag in self.flags:
                stream_callback(CHUNK, 320, {}, flag)

        self.thread = threading.Thread(target=call_back)
        self.thread.start()
        return SimpleNamespace(close=self.close)

    def close(self):
        self.thread.join()
        self.is_closed = True

    def terminate(self):
        self.is_terminated = True


@pytest.fixture
def plug_in(monkeypatch):
    def plug(device):
        monkeypatch.setitem(sys.modules, "pyaudio", device)
        return device

    return plug


def parse(*argv):
    return microphone.make_parser().parse_args([*argv, "--json"])


# --- the callback -----------------------------------------------------------------


async def test_chunks_come_out_as_they_went_in_until_the_stop():
    heard = Recorder(asyncio.get_running_loop())
    chunks = [bytes([n, 0]) * 320 for n in range(5)]
    for chunk in chunks:
        assert heard(chunk, 320, {}, 0) == (None, CONTINUE)
    heard.stop()
    assert [chunk async for chunk in heard.chunks()] == chunks
    assert heard.losses() == ""


async def test_overflows_of_the_device_are_counted_and_the_audio_is_kept():
    heard = Recorder(asyncio.get_running_loop())
    other_flag = 0x1
    for flags in (0, INPUT_OVERFLOW, other_flag, INPUT_OVERFLOW | other_flag):
        heard(CHUNK, 320, {}, flags)
    heard.stop()
    assert len([chunk async for chunk in heard.chunks()]) == 4
    assert heard.losses().startswith("microphone: 2 overflows in the device, 0.00 s")


async def test_what_a_full_queue_cannot_take_is_counted():
    heard = Recorder(asyncio.get_running_loop(), max_chunks=3)
    for _ in range(8):
        assert heard(CHUNK, 320, {}, 0) == (None, CONTINUE)
    heard.stop()
    assert len([chunk async for chunk in heard.chunks()]) == 3
    assert heard.losses().endswith("0.10 s dropped for a slow server")


async def test_after_the_stop_nothing_more_is_taken():
    heard = Recorder(asyncio.get_running_loop())
    heard.stop()
    assert heard(CHUNK, 320, {}, INPUT_OVERFLOW) == (None, COMPLETE)
    assert [chunk async for chunk in heard.chunks()] == []
    assert heard.losses() == ""


async def test_a_chunk_from_another_thread_wakes_the_reader():
    heard = Recorder(asyncio.get_running_loop())
    chunks = heard.chunks()
    first = asyncio.ensure_future(anext(chunks))
    await asyncio.to_thread(heard, CHUNK, 320, {}, 0)
    assert await asyncio.wait_for(first, 5) == CHUNK


async def test_a_device_that_falls_silent_is_an_error(monkeypatch):
    monkeypatch.setattr(microphone, "SILENT_S", 0.01)
    with pytest.raises(MicrophoneFailed, match="no audio"):
        async for _ in Recorder(asyncio.get_running_loop()).chunks():
            pass


# --- a session --------------------------------------------------------------------


async def test_ctrl_c_ends_the_session_and_the_finals_are_waited_for(capsys):
    device = Device(flags=[0, INPUT_OVERFLOW, 0])
    heard = []

    async def script(socket):
        heard.append(await open_session(socket))
        assert device.asked is None  # nothing is recorded before the session is open
        heard.extend([await socket.recv() for _ in range(3)])
        signal.raise_signal(signal.SIGINT)
        await take_all(socket, heard)
        await say(socket, *one_turn(), ENDED)

    before = signal.getsignal(signal.SIGINT)
    async with scripted_server(script) as url:
        arguments = parse("--url", url, "--speaker", "Ann")
        assert await microphone.listen(arguments, device) == 0
    assert heard[0]["speaker"] == "Ann"
    assert heard[1:] == [CHUNK, CHUNK, CHUNK, {"type": "session.end"}]
    said = capsys.readouterr()
    assert events.encode(one_turn()[-1]) in said.out
    assert "1 overflows in the device" in said.err
    assert device.is_closed and device.is_terminated
    assert signal.getsignal(signal.SIGINT) is before


async def test_a_session_that_breaks_off_gives_the_device_back():
    device = Device(flags=[0])

    async def script(socket):
        await say(socket, STARTED)
        await socket.close(1011)

    async with scripted_server(script) as url:
        with pytest.raises(ConnectionLost):
            await microphone.listen(parse("--url", url), device)
    assert device.is_closed and device.is_terminated


@pytest.mark.parametrize(
    ("argv", "rates", "rate_hz"),
    [
        ([], [16_000], 16_000),
        ([], [44_100], 44_100),
        (["--rate", "8000"], [8000], 8000),
    ],
)
async def test_the_servers_rate_is_asked_for_where_the_device_has_it(
    argv, rates, rate_hz
):
    device = Device(flags=[0], rates=rates)
    heard = []

    async def script(socket):
        heard.append(await open_session(socket))
        await socket.recv()
        signal.raise_signal(signal.SIGINT)
        await take_all(socket, heard)
        await say(socket, ENDED)

    async with scripted_server(script) as url:
        await microphone.listen(parse("--url", url, *argv), device)
    assert device.asked["rate"] == heard[0]["audio"]["sample_rate"] == rate_hz
    assert device.asked["frames_per_buffer"] == rate_hz // 50


async def test_a_rate_that_the_device_lacks_is_one_clear_error():
    async with scripted_server(recorder([])) as url:
        with pytest.raises(MicrophoneFailed, match="^microphone: Invalid sample rate$"):
            await microphone.listen(parse("--url", url, "--rate", "9000"), Device())


async def test_no_microphone_is_one_clear_error():
    with pytest.raises(MicrophoneFailed, match="No Default Input Device"):
        await microphone.listen(parse(), Device(is_there=False))


# --- the command --------------------------------------------------------------------


def test_without_pyaudio_the_message_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyaudio", None)  # as if it were not there
    assert microphone.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'stream-erc[mic]'" in line
    assert "portaudio19-dev" in line


def test_the_list_has_what_can_record_and_no_control_characters(plug_in, capsys):
    device = plug_in(Device())
    assert microphone.main(["--list-devices"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1: Desk ") and line.endswith("microphone, 44100 Hz")
    assert line.isprintable()
    assert device.is_terminated


def test_an_empty_list_says_so(plug_in, capsys):
    device = plug_in(Device())
    device.get_device_count = lambda: 1  # the loudspeaker
    assert microphone.main(["--list-devices"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "microphone: no device here can record\n")


@pytest.mark.parametrize("rate", ["7999", "96000", "fast"])
def test_a_rate_that_the_protocol_does_not_have_is_wrong_usage(rate):
    with pytest.raises(SystemExit) as exit_:
        microphone.main(["--rate", rate])
    assert exit_.value.code == 2
