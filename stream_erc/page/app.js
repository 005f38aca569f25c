/** The page: puts microphone, session and views together. */

import { CaptureFailed, openFile, openMicrophone } from "./capture.js";
import { cleanName, Conversation, nameOf } from "./conversation.js";
import { clock, drawMark, LABELS, percent } from "./emotions.js";
import { save, toMessages } from "./export.js";
import { Focus } from "./focus.js";
import { Session } from "./protocol.js";
import { SoundWatch } from "./sound.js";
import { hasNotice } from "./states.js";
import {
  find,
  hideProblem,
  showConversationState,
  showProblem,
  showState,
} from "./status.js";
import { Timeline } from "./timeline.js";
import { noteWaits } from "./timing.js";
import { TurnList } from "./turns.js";

const TICK_MS = 100; // one frame for all that moves by itself: each costs the browser
const LIVE = ["asking", "connecting", "open", "reconnecting", "finishing"];
const FORGOTTEN = ["too_late", "resume_refused", "audio_lost", "idle"];
const STREAM = "/v1/stream";
const AUTO = "auto"; // the name by which the server is asked to find the speakers itself

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
let sound = null; // its `SoundWatch`
let file = null; // null: the microphone
let state = "idle";
let selected = null; // null: whatever turn is the last
let isSaved = true;
let wakeLock = null;

// --- a session, from start to end ---------------------------------------------------

async function start() {
  if (!isSaved && !confirm("The conversation on this page is not exported. Start anew?")) return;
  hideProblem();
  session = null; // the one before is over, and so is its clock
  showConversation(new Conversation());
  enter("asking");
  const handlers = {
    onAudio: (samples) => session.sendAudio(samples),
    onLevel: (level) => sound.note(level),
    onGap: bridge,
    onHold: (code) => sound.hold(code),
    onEnd: stop,
  };
  try {
    capture = await (file ? openFile(file, handlers) : openMicrophone(handlers));
  } catch (error) {
    enter("failed");
    showProblem(error instanceof CaptureFailed ? error.code : "unknown", error.message);
    return;
  }
  sound = new SoundWatch(!file);
  openSession(capture.sampleRate);
  await capture.begin();
  if (LIVE.includes(state)) await stayAwake();
}

function openSession(sampleRate) {
  const url = new URL(STREAM, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const conversation_id = readName("conversation-id");
  session = new Session({
    url,
    sampleRate,
    token: find("token").value.trim(),
    start: {
      speaker: readSpeaker() || undefined, // JSON leaves out what is undefined
      conversation_id: conversation_id || undefined,
      observe: conversation_id ? true : undefined,
    },
  });
  session.addEventListener("message", ({ detail }) => hear(detail));
  session.addEventListener("state", ({ detail }) => follow(detail));
  session.open();
}

function hear(message) {
  const known = conversation.turns.findLast(({ turn }) => turn === message.turn);
  if (known) noteWaits(known, message, (ms) => session.sentAt(ms));
  const turn = conversation.take(message);
  if (message.type === "emotion.final" || turn?.isElsewhere) {
    isSaved = false;
    announce(turn);
  }
  const isTold = message.type === "warning" && hasNotice(message.code);
  if (isTold || message.recoverable) showProblem(message.code, message.message);
}

/** Stop capturing and let the server finish; `problem`: why, where nobody pressed Stop. */
async function stop(problem = "") {
  if (!["connecting", "open", "reconnecting"].includes(state)) return;
  enter("finishing");
  if (["unplugged", "file_broken"].includes(problem)) showProblem(problem);
  await capture.stop();
  session.end();
}

async function follow({ state: next, code, message }) {
  if (state === "finishing" && next === "open") return;
  enter(next);
  if (next !== "failed" && next !== "ended") return;
  const over = session;
  const { hasSlept } = sound;
  conversation.breakOff();
  await release();
  let problem = code;
  if (code === "unreachable") problem = await over.diagnose();
  else if (hasSlept && FORGOTTEN.includes(code)) problem = "slept";
  if (next === "ended" && !conversation.hasSpeech && find("problem").hidden) {
    problem = file ? "no_speech" : "no_voice";
  }
  if (problem && session === over) showProblem(problem, message); // not started anew meanwhile
}

/** Time is missing: what comes now is of no turn before, and the socket may be dead. */
function bridge() {
  if (!["open", "reconnecting"].includes(state)) return;
  sound.noteGap();
  session.flushTurn();
  session.probe();
}

/** Keep the screen on: a phone that locks itself stops the microphone. */
async function stayAwake() {
  wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
}

async function release() {
  await capture?.stop();
  await wakeLock?.release();
  wakeLock = null;
  sound.end();
}

// --- what is seen -------------------------------------------------------------------

function enter(next) {
  state = next;
  showState(next === "open" && file ? "playing" : next, LIVE.includes(next), file !== null);
}

function showConversation(next) {
  conversation = next;
  isSaved = true;
  selected = null;
  list.clear();
  focus.clear(conversation.labels.length ? conversation.labels : LABELS);
  timeline.show(conversation);
  conversation.addEventListener("turn", ({ detail }) => showTurn(detail));
  conversation.addEventListener("session", () => showConversationState(conversation));
  conversation.turns.forEach(showTurn);
  showConversationState(conversation);
}

function showTurn(turn) {
  find("empty").hidden = true;
  list.show(turn);
  timeline.change();
  if (turn === (selected ?? conversation.turns.at(-1))) focus.show(turn);
  if (turn.isFinal) showConversationState(conversation);
}

function announce(turn) {
  if (turn.isRejected) return;
  const { label, probabilities } = turn;
  const feeling = label ? `${label}, ${percent(probabilities[label])}` : "not judged";
  find("announcer").textContent = `${nameOf(turn)}: ${turn.text} ${feeling}`;
}

function tick() {
  if (!session || !LIVE.includes(state)) return;
  conversation.durationMs = Math.max(conversation.durationMs, session.audioMs);
  find("clock").textContent = clock(conversation.durationMs);
  sound.show();
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
  if (!chosen) return;
  if (LIVE.includes(state)) {
    showProblem("not_now");
    return;
  }
  hideProblem();
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
  find("speaker").addEventListener("change", () => {
    const name = readSpeaker() || "speaker";
    if (session && LIVE.includes(state)) session.setSpeaker(name);
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
    if (document.hidden || !LIVE.includes(state)) return;
    capture?.wake();
    stayAwake(); // the browser has let go of it with the page
  });
  for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, () => find("problem").dataset.code === "held" && capture?.wake());
  }
  find("dismiss").addEventListener("click", () => hideProblem());
}

/** Give who speaks; "" where nobody said. */
function readSpeaker() {
  return find("several").checked ? AUTO : readName("speaker");
}

/** Give the name in a field, and leave it there as it will be sent. */
function readName(id) {
  const field = find(id);
  field.value = cleanName(field.value);
  return field.value;
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
  const speaker = query.get("speaker") ?? "";
  find("several").checked = speaker === AUTO;
  find("speaker").value = speaker === AUTO ? "" : speaker;
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
