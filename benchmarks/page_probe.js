/**
 * Runs before the page's own scripts, and notes when what was sent and shown. All times
 * are the page's own clock (`performance.now()`).
 */

const probe = (window.probe = {
  frames: [], // {atMs, nSamples} of the audio, as it was sent
  pieces: [], // the samples themselves
  rateHz: 0,
  turns: [], // in order: {voiceStartMs, endMs, wordsToldMs, emotionToldMs, wordsMs, emotionMs}
});

window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => note(JSON.parse(data)));
  }

  send(message) {
    super.send(message);
    if (typeof message !== "string") {
      probe.frames.push({ atMs: performance.now(), nSamples: message.length });
      probe.pieces.push(message.slice());
    } else if (message.includes("session.start")) {
      probe.rateHz = JSON.parse(message).audio.sample_rate;
    }
  }
};

function note({ type, turn, text, voice_start_ms, end_ms }) {
  if (type === "turn.started") probe.turns[turn] = { voiceStartMs: voice_start_ms };
  const known = probe.turns[turn];
  if (type === "turn.ended") known.endMs = end_ms;
  if (type.startsWith("transcript.") && text) known.wordsToldMs ??= performance.now();
  if (type.startsWith("emotion.")) known.emotionToldMs ??= performance.now();
}

// The list is drawn within a frame, and is on the screen when the next one begins.
addEventListener("DOMContentLoaded", () => {
  const list = document.getElementById("turns");
  const look = () => requestAnimationFrame((nowMs) => [...list.children].forEach((item, i) => {
    const turn = probe.turns[i];
    if (!item.querySelector(".words").matches(".nothing")) turn.wordsMs ??= nowMs;
    if (item.querySelector(".spark")) turn.emotionMs ??= nowMs;
  }));
  new MutationObserver(look).observe(list, { childList: true, subtree: true });
});

/** All samples that were sent, as bytes in base64. */
probe.samples = async () => {
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob(probe.pieces));
  });
  return url.slice(url.indexOf(",") + 1);
};
