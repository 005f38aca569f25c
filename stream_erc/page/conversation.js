/** Messages of the server -> the turns of a conversation, as far as they are known. */

const UNPRINTABLE =
  /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g; // as in events.py

/**
 * One turn.
 *
 * @typedef {object} Turn
 * @property {?number} turn Its number; null where `isElsewhere`.
 * @property {boolean} isElsewhere Another participant's: told once it was final.
 * @property {?string} speaker Null while it is still being found.
 * @property {number} startMs On the audio clock.
 * @property {number} endMs Of what was heard of it so far, or its end.
 * @property {string} text The words so far, or the final ones.
 * @property {number} stableChars So many of them stay.
 * @property {object[]} words With their times; empty before the final.
 * @property {boolean} isEnded No more is heard of it; its finals may be on their way.
 * @property {boolean} isFinal Words and emotion are settled.
 * @property {boolean} isCut The session broke off before its finals.
 * @property {boolean} isRejected Judged not to be speech.
 * @property {?string} label Null before the first emotion, or where the models failed.
 * @property {Object<string, number>} probabilities By label.
 * @property {Object<string, number>} sentiment By sentiment.
 * @property {?object} final The `emotion.final`, or `conversation.turn`, as it came.
 * @property {object} waits Milliseconds: see `timing.js`.
 */

export class Conversation extends EventTarget {
  /** In the order of the model, known once a session has started. */
  labels = [];
  /** @type {Turn[]} In order of their start. */
  turns = [];
  /** All messages, as they came. */
  messages = [];
  isVoice = false;
  lagMs = 0;
  isDegraded = false;
  isRecorded = false; // the server keeps the sound

  /** How long it has lasted, on the audio clock. */
  durationMs = 0;

  /**
   * Take a message; dispatches "turn" (detail: the turn that it changed) or "session".
   * Gives that turn, or null.
   */
  take(message) {
    this.messages.push(message);
    this.durationMs = Math.max(this.durationMs, message.time_ms ?? 0);
    const turn = this.#takeTurn(message);
    if (turn) {
      this.dispatchEvent(new CustomEvent("turn", { detail: turn }));
    } else {
      this.#takeSession(message);
      this.dispatchEvent(new Event("session"));
    }
    return turn;
  }

  /** The session is over: what has no finals will not get any. */
  breakOff() {
    for (const turn of this.turns) {
      if (turn.isFinal) continue;
      turn.isCut = turn.isEnded = true;
      this.dispatchEvent(new CustomEvent("turn", { detail: turn }));
    }
    this.isVoice = false;
    this.dispatchEvent(new Event("session"));
  }

  /** The speakers that are known, in the order in which they were first heard. */
  get speakers() {
    return [...new Set(this.turns.map(({ speaker }) => speaker))].filter((name) => name !== null);
  }

  /** Whether the server found one of these turns to be speech, and finished it. */
  get hasSpeech() {
    return this.turns.some(({ isFinal, isRejected }) => isFinal && !isRejected);
  }

  /** The turn at `ms`, else the last before it, else the first; undefined without turns. */
  turnAt(ms) {
    return this.turns[Math.max(0, this.indexAfter(ms) - 1)];
  }

  /** The index of the first turn that starts after `ms`. */
  indexAfter(ms) {
    let [low, high] = [0, this.turns.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.turns[middle].startMs <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #takeTurn(message) {
    if (message.type === "turn.started") return this.#startTurn(message);
    if (message.type === "conversation.turn") return this.#hearOf(message);
    const turn = this.turns.findLast((known) => known.turn === message.turn);
    if (!turn) return null;
    turn.endMs = turn.isEnded ? turn.endMs : Math.max(turn.endMs, message.time_ms);
    const change = CHANGES[message.type];
    if (change) Object.assign(turn, change(message));
    return withoutNoise(turn);
  }

  #startTurn({ turn, speaker, start_ms, voice_start_ms, time_ms }) {
    return this.#place({
      ...NEW_TURN,
      turn,
      speaker,
      startMs: start_ms,
      voiceStartMs: voice_start_ms,
      endMs: Math.max(start_ms, time_ms),
      waits: {},
    });
  }

  #hearOf(message) {
    const turn = {
      ...NEW_TURN,
      isElsewhere: true,
      ...CHANGES["turn.ended"](message),
      ...CHANGES["transcript.final"](message),
      ...CHANGES["emotion.final"](message),
      waits: {},
    };
    return this.#place(withoutNoise(turn));
  }

  /** Put a turn among the others, in order of their start. */
  #place(turn) {
    this.turns.splice(this.indexAfter(turn.startMs), 0, turn);
    return turn;
  }

  #takeSession(message) {
    if (message.type === "session.started") {
      this.labels = message.labels;
      this.isRecorded = message.recorded ?? false;
    }
    if (message.type === "speech.started") this.isVoice = true;
    if (message.type === "speech.stopped" || message.type === "session.ended") {
      this.isVoice = false;
    }
    if (message.type === "status") {
      this.lagMs = message.lag_ms;
      this.isDegraded = message.degraded;
    }
  }
}

/** What is not known yet when a turn starts. */
const NEW_TURN = {
  turn: null,
  isElsewhere: false,
  text: "",
  stableChars: 0,
  words: [],
  isEnded: false,
  isFinal: false,
  isCut: false,
  isRejected: false,
  label: null,
  probabilities: {},
  sentiment: {},
  final: null,
};

/** Of a turn at which the models failed: what the server sends then tells of no one. */
const UNJUDGED = { label: null, probabilities: {}, sentiment: {} };

/** What a message about a turn changes of it. */
const CHANGES = {
  "transcript.partial": ({ text, stable_chars }) => ({ text, stableChars: stable_chars }),
  "emotion.partial": takeEmotion,
  "turn.ended": ({ speaker, start_ms, end_ms }) => ({
    speaker,
    startMs: start_ms,
    endMs: end_ms,
    isEnded: true,
  }),
  "transcript.final": ({ text, words = [], rejected }) => ({
    text,
    words,
    stableChars: text.length,
    isRejected: rejected,
  }),
  "emotion.final": (message) => ({
    ...(message.modalities.length > 0 ? takeEmotion(message) : UNJUDGED),
    isFinal: true,
    final: message,
  }),
};

/** What was no speech conveys nothing, whatever was made of its sound. */
function withoutNoise(turn) {
  return turn.isRejected ? Object.assign(turn, UNJUDGED) : turn;
}

function takeEmotion({ label, probabilities, sentiment }) {
  return { label, probabilities, sentiment };
}

/** Who speaks in a turn, for people. */
export function nameOf({ speaker, isEnded }) {
  return speaker ?? (isEnded ? "someone" : "finding who speaks");
}

/** A name as the server takes it: nothing that breaks a line or turns text around. */
export function cleanName(text) {
  return [...text.toWellFormed().replaceAll(UNPRINTABLE, "").trim()].slice(0, 200).join("");
}
