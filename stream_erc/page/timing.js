/** Wall times of a turn, as its listener sees them. */

/**
 * Note in `turn.waits` how long after the voice was sent this message came.
 *
 * `firstWordsMs` and `firstEmotionMs` count from the first voiced sample, `finalMs`
 * from the sample at which the end of the turn was decided.
 *
 * @param {import("./conversation.js").Turn} turn
 * @param {object} message About this turn.
 * @param {(ms: number) => ?number} sentAt See `Session.sentAt`.
 */
export function noteWaits(turn, message, sentAt) {
  const since = (ms) => {
    const sent = sentAt(ms);
    return sent === null ? undefined : performance.now() - sent;
  };
  const { waits } = turn;
  if (message.type === "transcript.partial" && message.text) {
    waits.firstWordsMs ??= since(turn.voiceStartMs);
  } else if (message.type === "emotion.partial") {
    waits.firstEmotionMs ??= since(turn.voiceStartMs);
  } else if (message.type === "turn.ended") {
    waits.decidedMs = message.decided_ms;
  } else if (message.type === "transcript.final" && message.text) {
    waits.firstWordsMs ??= since(turn.voiceStartMs);
  } else if (message.type === "emotion.final") {
    waits.firstEmotionMs ??= since(turn.voiceStartMs);
    waits.finalMs = since(waits.decidedMs);
  }
}

/** The median of a wait over the turns that have it; null where none has. */
export function median(turns, name) {
  const values = turns.map(({ waits }) => waits[name]).filter(Number.isFinite);
  if (values.length === 0) return null;
  return values.sort((a, b) => a - b)[values.length >> 1];
}
