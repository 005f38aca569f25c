/** A session that goes on at another server: turns are counted on, times go on. */

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
  #speakers = []; // {since, speaker}: since so many samples at this server

  /** @param {object} start The `session.start` of the first one. */
  constructor(start) {
    this.start = start;
  }

  /** Note who speaks after so many samples. */
  noteSpeaker(since, speaker) {
    this.#speakers.push({ since, speaker });
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
  move({ turns, audio_ms }, journal) {
    const rate = this.start.audio.sample_rate;
    const nHeard = Math.floor(((audio_ms - this.timeMs) * rate) / 1000);
    const { speaker } = this.#speakers.findLast(({ since }) => since < nHeard) ?? this.start;
    this.start = { ...this.start, speaker };
    this.#speakers = this.#speakers
      .filter(({ since }) => since >= nHeard)
      .map(({ since, speaker }) => ({ since: since - nHeard, speaker }));
    [this.nTurns, this.timeMs] = [turns, audio_ms];
    return journal.cut(JSON.stringify(this.start), nHeard);
  }

  /** Give a `warning` that says whether the new server knows what was said before. */
  announce({ conversation_turns }) {
    const isAnew = this.nTurns > 0 && !conversation_turns;
    const code = isAnew ? "moved_anew" : "moved";
    return { type: "warning", time_ms: this.timeMs, code, message: "the server shut down" };
  }
}
