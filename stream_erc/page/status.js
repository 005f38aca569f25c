/** What the page shows of the session itself: its state, its sound, what went wrong. */

import { median } from "./timing.js";
import { describeProblem, STATES } from "./states.js";

const QUIETEST_DB = -60; // left end of the level meter
const WAITS = { "first-words": "firstWordsMs", "first-emotion": "firstEmotionMs", final: "finalMs" };

export const find = (id) => document.getElementById(id);

/**
 * Show where the session stands.
 *
 * @param {string} state One of `STATES`.
 * @param {boolean} isLive Whether there is something to stop.
 * @param {boolean} hasFile Whether a file is the source.
 */
export function showState(state, isLive, hasFile) {
  document.body.dataset.state = state;
  find("state-text").textContent = STATES[state];
  const button = find("start");
  button.textContent = isLive ? "Stop" : hasFile ? "Play" : "Start";
  button.disabled = state === "asking" || state === "finishing";
  find("flush").disabled = !["open", "playing", "reconnecting"].includes(state);
  for (const id of ["several", "conversation-id", "token", "file", "use-microphone"]) {
    find(id).disabled = isLive;
  }
}

/** Say what went wrong, or what is worth a word; `message` is the server's own. */
export function showProblem(code, message = "") {
  const box = find("problem");
  if (!box.hidden && box.dataset.code === code) return; // it is said once
  const { title, advice, isNotice } = describeProblem(code, message);
  box.hidden = false;
  box.dataset.code = code;
  box.classList.toggle("notice", isNotice);
  box.querySelector("strong").textContent = `${title}.`;
  box.querySelector("span").textContent = advice;
  if (code.endsWith("_token")) askForToken();
}

/** Take back what was said last, if it is one of these codes; without any: whatever it is. */
export function hideProblem(codes = null) {
  const box = find("problem");
  if (!codes || codes.includes(box.dataset.code)) box.hidden = true;
}

function askForToken() {
  find("token-field").hidden = false;
  find("token").focus();
}

/** Show the voice, the waits, and what can be done with the conversation. */
export function showConversationState({ turns, isVoice, isRecorded }) {
  document.body.dataset.voice = isVoice;
  find("voice").textContent = isVoice ? "voice" : "no voice";
  find("recorded").textContent = isRecorded ? "This conversation is recorded" : "";
  find("empty").hidden = turns.length > 0;
  const hasFinals = turns.some(({ isFinal }) => isFinal);
  document.querySelectorAll("[data-export]").forEach((button) => (button.disabled = !hasFinals));
  for (const [id, wait] of Object.entries(WAITS)) {
    const ms = median(turns, wait);
    find(id).textContent = ms === null ? "–" : `${(ms / 1000).toFixed(2)} s`;
  }
}

/** Show how loud the sound is; `rms` from 0 to 1. */
export function showLevel(rms) {
  const db = Math.max(QUIETEST_DB, Math.min(0, 20 * Math.log10(rms + 1e-9)));
  const level = find("level");
  level.firstElementChild.style.transform = `scaleX(${1 - db / QUIETEST_DB})`;
  level.setAttribute("aria-valuenow", Math.round(db));
}
