"""Pipecat: a voice agent that answers what the caller says, and how.

    pip install 'stream-erc[pipecat]' 'pipecat-ai[local]'
    stream-erc serve
    OPENAI_API_KEY=… python -m clients.examples.pipecat_agent

Microphone and loudspeaker (use headphones), the words and the feelings of stream-erc,
a language model and a voice of OpenAI's. What it says itself enters the conversation by
which stream-erc judges the caller's next turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, LLMContextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from clients.pipecat import EmotionProcessor, InterimEmotionFrame

INSTRUCTIONS = (
    "You are on the phone. Answer in one or two sentences. Notes tell how the caller "
    "sounds: let them guide your tone, and never mention them."
)


class Mood(FrameProcessor):  # type: ignore[misc]
    """Tells the language model how the caller sounds, whenever it is asked."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        super().__init__()
        self._heard: InterimEmotionFrame | None = None  # or final, which is one, too

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Keep the newest emotion; add it to what the model is asked."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InterimEmotionFrame):
            self._heard = frame
        elif isinstance(frame, LLMContextFrame) and self._heard is not None:
            probability = self._heard.probabilities[self._heard.label]
            note = f"The caller sounds like {self._heard.label} ({probability:.0%})."
            frame.context.add_message({"role": "developer", "content": note})
        await self.push_frame(frame, direction)


def build(
    source: Sequence[FrameProcessor],
    ears: EmotionProcessor,
    llm: FrameProcessor,
    voice: Sequence[FrameProcessor],
) -> Pipeline:
    """Join the parts; the words are those of stream-erc."""
    context = LLMContext([{"role": "system", "content": INSTRUCTIONS}])
    aggregators = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    return Pipeline(
        [*source, ears, aggregators.user(), Mood(), llm, *voice]
        + [aggregators.assistant()]
    )


async def talk() -> None:
    """Talk until Ctrl-C."""
    from pipecat.services.openai.llm import OpenAILLMService
    from pipecat.services.openai.tts import OpenAITTSService
    from pipecat.transports.local.audio import (
        LocalAudioTransport,
        LocalAudioTransportParams,
    )

    key = os.environ["OPENAI_API_KEY"]
    transport = LocalAudioTransport(
        LocalAudioTransportParams(audio_in_enabled=True, audio_out_enabled=True)
    )
    pipeline = build(
        [transport.input()],
        EmotionProcessor(transcripts=True),
        OpenAILLMService(api_key=key),
        [OpenAITTSService(api_key=key), transport.output()],
    )
    runner = WorkerRunner()
    await runner.add_workers(PipelineWorker(pipeline))
    await runner.run()


if __name__ == "__main__":
    asyncio.run(talk())
