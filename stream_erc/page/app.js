/** The page: puts microphone, session and views together. */

import { openFile, openMicrophone } from "./capture.js";
import { Conversation, nameOf } from "./conversation.js";
import { clock, drawMark, LABELS, percent } from "./emotions.js";
import { save, toMessages } from "./export.js";
import { Focus } from "./focus.js";
import { Session } from "./protocol.js";
import { describeProblem, RECORDED, STATES } from "./states.js";
import { Timeline } from "./timeline.js";
import { median, noteWaits } from "./timing.js";
import { TurnList } from "./turns.js";

const TICK_MS = 100;
const QUIETEST_DB = -60; // left end of the level meter
const LIVE = ["asking", "connecting", "open", "reconnecting", "finishing"];
const STREAM = "/v1/stream";

const find = (id) => document.getElementById(id);
const focus = new Focus(find("focus-body"));
const list = new TurnList(find("turns"), find("latest"));
const timeline = new Timeline({
  lanes: find("lanes"),
  overview: find("overview"),
  pointed: find("pointed"),
});

let conversation = new Conversation();
let session = null;
let capture = null;
let file = null; // null: the microphone
let state = "idle";
let selected = null; // null: whatever turn is the last
let isSaved = true;
let wakeLock = null;

// --- a session, from start to end ---------------------------------------------------

async function start() {
  if (!isSaved && !confirm("The conversation on this page is not exported. Start anew?")) return;
  showProblem("");
  showConversation(new Conversation());
  enter("asking");
  const handlers = {
    onAudio: (samples) => session.sendAudio(samples),
    onLevel: showLevel,
    onEnd: stop,
  };
  try {
    capture = await (file ? openFile(file, handlers) : openMicrophone(handlers));
  } catch (error) {
    enter("failed");
    showProblem(error.code ?? "unknown", error.message);
    return;
  }
  openSession(capture.sampleRate);
  await capture.begin();
  wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function openSession(sampleRate) {
  const url = new URL(STREAM, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const wishes = { speaker: find("speaker").value, conversation_id: find("conversation-id").value };
  const given = Object.entries(wishes).filter(([, value]) => value.trim());
  session = new Session({
    url,
    sampleRate,
    token: find("token").value.trim(),
    start: Object.fromEntries(given),
  });
  session.addEventListener("message", ({ detail }) => hear(detail));
  session.addEventListener("state", ({ detail }) => follow(detail));
  session.open();
}

function hear(message) {
  const turn = conversation.turns.findLast((known) => known.turn === message.turn);
  if (turn) noteWaits(turn, message, (ms) => session.sentAt(ms));
  conversation.take(message);
  if (message.type === "emotion.final") {
    isSaved = false;
    announce(turn);
  }
}

/** Stop capturing and let the server finish; `problem`: why, where nobody pressed Stop. */
async function stop(problem = "") {
  if (!["connecting", "open", "reconnecting"].includes(state)) return;
  enter("finishing");
  if (problem === "unplugged") showProblem(problem);
  await capture.stop();
  session.end();
}

async function follow({ state: next, code, message }) {
  if (state === "finishing" && next === "open") return;
  enter(next);
  if (next !== "failed" && next !== "ended") return;
  const over = session;
  conversation.breakOff();
  await release();
  if (next === "ended") return;
  const problem = code === "unreachable" ? await diagnose() : code;
  if (session === over) showProblem(problem, message); // not started anew meanwhile
}

async function release() {
  await capture?.stop();
  await wakeLock?.release();
  wakeLock = null;
  showLevel({ rms: 0 });
}

/** Ask over HTTP why no socket could be opened: a browser does not tell. */
async function diagnose() {
  const token = find("token").value.trim();
  const query = token ? `?token=${encodeURIComponent(token)}` : "";
  try {
    const { status } = await fetch(STREAM + query);
    if (status === 401) return token ? "wrong_token" : "no_token";
    return status === 403 ? "wrong_origin" : "not_ready";
  } catch {
    return "unreachable";
  }
}

// --- what is seen -------------------------------------------------------------------

function enter(next) {
  state = next;
  document.body.dataset.state = next === "open" && file ? "playing" : next;
  const isLive = LIVE.includes(next);
  const isRecorded = isLive && session?.started?.recorded;
  const word = STATES[document.body.dataset.state];
  find("state-text").textContent = isRecorded ? `${word} – ${RECORDED}` : word;
  const button = find("start");
  button.textContent = isLive ? "Stop" : file ? "Play" : "Start";
  button.disabled = next === "asking" || next === "finishing";
  find("flush").disabled = !["open", "reconnecting"].includes(next);
  for (const id of ["conversation-id", "token", "file", "use-microphone"]) {
    find(id).disabled = isLive;
  }
}

function showProblem(code, message = "") {
  const box = find("problem");
  box.hidden = !code;
  if (!code) return;
  const { title, advice } = describeProblem(code, message);
  box.dataset.code = code;
  box.querySelector("strong").textContent = `${title}.`;
  box.querySelector("span").textContent = advice;
  if (code.endsWith("_token")) askForToken();
}

function askForToken() {
  find("token-field").hidden = false;
  find("token").focus();
}

function showConversation(next) {
  conversation = next;
  isSaved = true;
  selected = null;
  list.clear();
  focus.clear(conversation.labels.length ? conversation.labels : LABELS);
  timeline.show(conversation);
  conversation.addEventListener("turn", ({ detail }) => showTurn(detail));
  conversation.addEventListener("session", showSession);
  conversation.turns.forEach(showTurn);
  showSession();
}

function showTurn(turn) {
  find("empty").hidden = true;
  list.show(turn);
  timeline.change();
  if (turn === (selected ?? conversation.turns.at(-1))) focus.show(turn);
  if (turn.isFinal) showSession();
}

function showSession() {
  document.body.dataset.voice = conversation.isVoice;
  find("voice").textContent = conversation.isVoice ? "voice" : "no voice";
  find("empty").hidden = conversation.turns.length > 0;
  const hasFinals = conversation.turns.some(({ isFinal }) => isFinal);
  document.querySelectorAll("[data-export]").forEach((button) => (button.disabled = !hasFinals));
  const wait = (name) => {
    const ms = median(conversation.turns, name);
    return ms === null ? "–" : `${(ms / 1000).toFixed(2)} s`;
  };
  find("first-words").textContent = wait("firstWordsMs");
  find("first-emotion").textContent = wait("firstEmotionMs");
  find("final").textContent = wait("finalMs");
}

function showLevel({ rms }) {
  const db = Math.max(QUIETEST_DB, Math.min(0, 20 * Math.log10(rms + 1e-9)));
  const level = find("level");
  level.firstElementChild.style.transform = `scaleX(${1 - db / QUIETEST_DB})`;
  level.setAttribute("aria-valuenow", Math.round(db));
}

function announce(turn) {
  if (turn.isRejected) return;
  const feeling = `${turn.label}, ${percent(turn.probabilities[turn.label])}`;
  find("announcer").textContent = `${nameOf(turn)}: ${turn.text} ${feeling}`;
}

function tick() {
  if (!session || !LIVE.includes(state)) return;
  conversation.durationMs = Math.max(conversation.durationMs, session.audioMs);
  find("clock").textContent = clock(conversation.durationMs);
  const behindMs = conversation.lagMs + session.backlogMs;
  const slower = conversation.isDegraded ? ", fewer partials" : "";
  find("lag").textContent = `${(behindMs / 1000).toFixed(1)} s${slower}`;
  timeline.change();
}

function select(turn) {
  selected = turn;
  list.select(turn);
  timeline.select(turn);
  focus.show(turn);
}

/** Look at the last turn again, whatever it is. */
function unselect() {
  selected = null;
  list.select(null);
  const last = conversation.turns.at(-1);
  if (last) focus.show(last);
}

// --- files ----------------------------------------------------------------------------

/** Take a file that was dropped or chosen: sound to play, or a session to look at. */
async function take(chosen) {
  if (!chosen || LIVE.includes(state)) return;
  showProblem("");
  if (!chosen.name.endsWith(".jsonl")) {
    useSource(chosen);
    find("start").focus();
    return;
  }
  const loaded = new Conversation();
  try {
    toMessages(await chosen.text()).forEach((message) => loaded.take(message));
  } catch {
    showProblem("not_ours");
    return;
  }
  loaded.breakOff();
  showConversation(loaded);
  find("clock").textContent = clock(loaded.durationMs);
}

function useSource(chosen) {
  file = chosen;
  find("source").textContent = file ? file.name : "";
  find("use-microphone").hidden = !file;
  find("file").value = "";
  enter("idle");
}

function listenForFiles() {
  find("file").addEventListener("change", ({ target }) => take(target.files[0]));
  find("use-microphone").addEventListener("click", () => useSource(null));
  const dropping = (is) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", is);
  };
  addEventListener("dragover", dropping(true));
  addEventListener("dragleave", dropping(false));
  addEventListener("drop", (event) => {
    dropping(false)(event);
    take(event.dataTransfer.files[0]);
  });
}

// --- buttons and keys -------------------------------------------------------------------

function listenForControls() {
  find("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    LIVE.includes(state) ? stop() : start();
  });
  find("flush").addEventListener("click", () => session.flushTurn());
  find("speaker").addEventListener("change", ({ target }) => {
    if (session && LIVE.includes(state)) session.setSpeaker(target.value.trim() || "speaker");
  });
  find("speaker").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !LIVE.includes(state)) return;
    event.preventDefault(); // a name is taken; it does not press Stop
    event.target.blur();
  });
  for (const button of document.querySelectorAll("[data-export]")) {
    button.addEventListener("click", async () => {
      await save(conversation, button.dataset.export, "conversation");
      if (button.dataset.export === "jsonl") isSaved = true;
    });
  }
  addEventListener("beforeunload", (event) => {
    if (!isSaved) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && LIVE.includes(state)) capture?.wake();
  });
}

function listenForViews() {
  list.addEventListener("select", ({ detail }) => select(detail));
  timeline.addEventListener("select", ({ detail }) => select(detail));
  timeline.addEventListener("view", () => {
    find("follow").setAttribute("aria-pressed", timeline.mode === "follow");
    find("fit").setAttribute("aria-pressed", timeline.mode === "all");
  });
  find("zoom-in").addEventListener("click", () => timeline.zoom(1 / 1.5));
  find("zoom-out").addEventListener("click", () => timeline.zoom(1.5));
  find("fit").addEventListener("click", () => timeline.setMode("all"));
  find("follow").addEventListener("click", () => {
    unselect();
    timeline.setMode("follow");
  });
  find("latest").addEventListener("click", unselect);
}

/** Take names and token of the address; the token does not stay there to be seen. */
function readAddress() {
  const query = new URLSearchParams(location.search);
  find("speaker").value = query.get("speaker") ?? "";
  find("conversation-id").value = query.get("conversation") ?? "";
  find("token").value = query.get("token") ?? "";
  find("token-field").hidden = !query.has("token");
  query.delete("token");
  const rest = query.toString();
  history.replaceState(null, "", location.pathname + (rest ? `?${rest}` : ""));
}

readAddress();
drawMark(document.querySelector(".mark"));
listenForControls();
listenForFiles();
listenForViews();
showConversation(conversation);
enter("idle");
setInterval(tick, TICK_MS);
