/** A session that goes on at another server: turns are counted on, times go on. */

export const MOVE_S = 30; // so long another server is looked for where one shuts down
const ROUNDING_MS = 2; // of `audio_ms`, where the server has resampled what it heard
const TIMES = [
  "time_ms",
  "at_ms",
  "start_ms",
  "end_ms",
  "voice_start_ms",
  "decided_ms",
  "audio_ms",
];

export class Itinerary {
  /** What the server was asked for that has the session now. */
  start;
  /** Turns and milliseconds of audio before that server. */
  nTurns = 0;
  timeMs = 0;
  #speakers = []; // {nTexts, speaker}: named by the newest of so many texts

  /** @param {object} start The `session.start` of the first one. */
  constructor(start) {
    this.start = start;
  }

  /** Note whom the newest of so many texts names. */
  noteSpeaker(nTexts, speaker) {
    this.#speakers.push({ nTexts, speaker });
  }

  /** Make a message of this server one of the whole session. */
  shift(message) {
    if ("turn" in message) message.turn += this.nTurns;
    if ("turns" in message) message.turns += this.nTurns;
    for (const timed of [message, ...(message.words ?? [])]) {
      for (const name of TIMES) if (name in timed) timed[name] += this.timeMs;
    }
    return message;
  }

  /** Whether a server that said `session.ended` has heard all of a journal. */
  isWhole({ audio_ms }, journal) {
    return this.timeMs + journal.audioMs - audio_ms < ROUNDING_MS;
  }

  /**
   * Begin anew after what a server has heard that said `session.ended`. Gives the
   * journal of the rest; null where some of it is forgotten.
   */
  move({ turns, audio_ms, client_messages_received: nKnown }, journal) {
    const rate = this.start.audio.sample_rate;
    const nHeard = Math.floor(((audio_ms - this.timeMs) * rate) / 1000);
    const { speaker } = this.#speakers.findLast(({ nTexts }) => nTexts <= nKnown) ?? this.start;
    this.start = { ...this.start, speaker };
    this.#speakers = this.#speakers
      .filter(({ nTexts }) => nTexts > nKnown)
      .map(({ nTexts, speaker }) => ({ nTexts: nTexts - nKnown + 1, speaker }));
    [this.nTurns, this.timeMs] = [turns, audio_ms];
    return journal.cut(JSON.stringify(this.start), nHeard, nKnown);
  }

  /** Give a `warning` that says whether the new server knows what was said before. */
  announce({ conversation_turns }) {
    const isAnew = this.nTurns > 0 && !conversation_turns;
    const code = isAnew ? "moved_anew" : "moved";
    return { type: "warning", time_ms: this.timeMs, code, message: "the server shut down" };
  }
}
