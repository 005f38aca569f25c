"""LiveKit Agents: a voice agent that answers what the caller says, and how.

    pip install 'stream-erc[livekit]'
    stream-erc serve
    LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… \
        python -m clients.examples.livekit_agent dev

The words and the feelings of stream-erc; a language model and a voice by LiveKit
Inference. What the agent says itself enters the conversation by which stream-erc judges
the caller's next turn: the session sees to that.
"""

from __future__ import annotations

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    TurnHandlingOptions,
    cli,
    llm,
)

from clients.livekit import STT, EmotionEvent

INSTRUCTIONS = (
    "You are on the phone. Answer in one or two sentences. Notes tell how the caller "
    "sounds: let them guide your tone, and never mention them."
)

BY_STT = TurnHandlingOptions(turn_detection="stt")  # a turn ends where stream-erc says
server = AgentServer()


class Attentive(Agent):  # type: ignore[misc]
    """Knows how the caller sounds."""

    def __init__(self, ears: STT) -> None:
        """Listen to `ears`."""
        super().__init__(instructions=INSTRUCTIONS)
        self._heard: EmotionEvent | None = None
        ears.on("emotion", self._hear)

    def _hear(self, event: EmotionEvent) -> None:
        self._heard = event

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Tell the language model before it answers."""
        if self._heard is not None:
            probability = self._heard.probabilities[self._heard.label]
            note = f"The caller sounds like {self._heard.label} ({probability:.0%})."
            turn_ctx.add_message(role="developer", content=note)


@server.rtc_session()  # type: ignore[untyped-decorator]
async def answer(job: JobContext) -> None:
    """Take a call."""
    ears = STT()
    session = AgentSession(
        stt=ears,
        turn_handling=BY_STT,
        llm="openai/gpt-4.1-mini",
        tts="cartesia/sonic-3",
    )
    await session.start(Attentive(ears), room=job.room)


if __name__ == "__main__":
    cli.run_app(server)
