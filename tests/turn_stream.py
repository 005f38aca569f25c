"""A stream of frames, scripted, that goes through the gate into turns."""

import numpy as np
from hypothesis import strategies as st

from stream_erc.config import TurnConfig, VadConfig
from stream_erc.flow import FRAME_SAMPLES, Frame, VoiceEdge
from stream_erc.turns import TurnBuilder
from stream_erc.vad import VoiceGate

VAD = VadConfig(min_speech_ms=64, min_pause_ms=64)
LOUD, FAINT, SILENT = 0.3, 0.02, 0.0001  # amplitude: a vowel, a breath, a room


class Stream:
    """The gate and the turns of one session, fed with scripted probabilities.

    Every sample of it is another number, so that a turn's audio tells where it lies.
    """

    def __init__(self, turns=None, vad=VAD):
        self._noise = np.random.default_rng(0)
        self._gate = VoiceGate(vad)
        self._turns = TurnBuilder(turns or TurnConfig(), "Ann")
        self.samples = np.empty(0, np.float32)
        self.records = []
        self.edges = []

    @property
    def now(self):
        return len(self.samples)

    def hear(self, n_frames, is_voiced, amplitude=None, length=FRAME_SAMPLES):
        if amplitude is None:
            amplitude = LOUD if is_voiced else SILENT
        for _ in range(n_frames):
            samples = amplitude * self._noise.uniform(-1, 1, length)
            frame = Frame(self.now, samples.astype(np.float32))
            self.samples = np.concatenate([self.samples, frame.samples])
            for item in self._gate.push(frame, 0.9 if is_voiced else 0.1):
                self.edges += [item] if isinstance(item, VoiceEdge) else []
                self.records += self._turns.push(item)
        return self

    def voice(self, n_frames, amplitude=None):
        return self.hear(n_frames, True, amplitude)

    def silence(self, n_frames, amplitude=None):
        return self.hear(n_frames, False, amplitude)

    def cut(self, reason, speaker=None):
        """As the listener cuts: after whatever part of a frame has come."""
        self.edges += self._gate.cut()
        self.records += self._turns.cut(self.now, reason)
        if speaker:
            self._turns.set_speaker(speaker)
        return self

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]

    def kinds(self):
        return [type(record).__name__ for record in self.records]


# Any script of a stream, and any settings.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("voice"), st.integers(1, 30), st.sampled_from([LOUD, FAINT])),
        st.tuples(
            st.just("silence"), st.integers(1, 25), st.sampled_from([SILENT, FAINT])
        ),
        st.tuples(
            st.sampled_from(["flush", "speaker"]), st.integers(0, 511), st.booleans()
        ),
    ),
    max_size=25,
)
configs = st.builds(
    TurnConfig,
    pre_roll_ms=st.sampled_from([0, 100, 300]),
    post_roll_ms=st.sampled_from([0, 20, 96, 150]),
    eager_silence_ms=st.sampled_from([150, 320]),
    end_silence_ms=st.sampled_from([320, 544]),
    onset_search_ms=st.sampled_from([0, 100, 1000]),
    max_turn_ms=st.sampled_from([2600, 19_000]),
    search_ms=st.sampled_from([50, 1000, 2500]),
)
vads = st.builds(
    VadConfig,
    min_speech_ms=st.sampled_from([32, 96, 300]),
    min_pause_ms=st.sampled_from([32, 96, 300]),
)


def play(script, config, vad):
    """A stream that went through the script and then ended."""
    stream = Stream(config, vad)
    for kind, amount, choice in script:
        if kind == "voice":
            stream.voice(amount, choice)
        elif kind == "silence":
            stream.silence(amount, choice)
        else:
            stream.hear(int(amount > 0), choice, length=amount).cut(kind)
    return stream.cut("end")
