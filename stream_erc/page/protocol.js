/**
 * One microphone on a stream-erc server: wire protocol v1, for any page.
 *
 *     const session = new Session({ url: "ws://127.0.0.1:8765/v1/stream", sampleRate: 48000 });
 *     session.addEventListener("message", ({ detail }) => console.log(detail.type, detail));
 *     session.addEventListener("state", ({ detail }) => console.log(detail.state));
 *     session.open();
 *     session.sendAudio(int16Array); // again and again
 *     session.end();
 *
 * Needs nothing but this file and those that it imports; how to use it is told in
 * docs/browser.md, the messages in docs/protocol.md.
 */

import { diagnose } from "./diagnosis.js";
import { Journal } from "./journal.js";
import { Itinerary, MOVE_S } from "./moving.js";

export const SUBPROTOCOL = "stream-erc.v1";
const [GOING_AWAY, NO_CODE, ABNORMAL, SERVICE_RESTART, TRY_LATER] = [1001, 1005, 1006, 1012, 1013];
const DROPS = new Set([GOING_AWAY, NO_CODE, ABNORMAL, SERVICE_RESTART]);

const KEEP_S = 120; // audio kept for a resumption; 48 kHz: 11.5 MB
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [250, 5_000];
const PING_EVERY_MS = 5_000;
const SILENCE_MS = 20_000; // a server that answers no ping so long is gone
const CLOSING_MS = 500; // where all is told, the closing is not worth more
const PROBE_MS = 5_000; // the same, where there is a reason to doubt

/**
 * A session, from `session.start` to `session.ended`, over as many sockets as it takes;
 * where the server shuts down, at another one, if one answers at the same address.
 *
 * Events: `message` (detail: a server's message, each once, in order of `seq`) and
 * `state` (detail: `{state, code, message}`), where `state` is one of
 *
 * - "connecting": not open yet; audio may be sent already, it waits;
 * - "open": the server listens;
 * - "reconnecting": the socket dropped; audio is kept, and sent when it is back;
 * - "ended": all was heard and every final is here;
 * - "failed": over; `code` is the server's error code, or "unreachable" (no socket
 *   could be opened), "dropped" (and no resuming), "too_late" (the resume window is
 *   over), "audio_lost" (gone for longer than audio is kept), "closed_N" (close code N).
 */
export class Session extends EventTarget {
  #url;
  #socket = null;
  #state = "new";
  #isFlowing = false; // what is sent goes to the socket, not to the journal alone
  #journal;
  #started = null;
  #itinerary;
  #ended = null; // `session.ended`: was that all? the close code tells
  #hasSaidEnd = false;
  #isMoving = false; // no server has it
  #lastSeq = -1;
  #lastError = null;
  #droppedAtMs = 0;
  #nTries = 0;
  #retry = 0; // timers
  #watch = 0;
  #doubt = 0;
  #nPings = 0;
  #pingedAtMs = new Map(); // by id: pings that wait for their pong

  /**
   * @param {object} options
   * @param {string} options.url ws[s]://HOST:PORT/v1/stream
   * @param {number} options.sampleRate Of the audio to come, 8000 to 48000 a second.
   * @param {string} [options.token] Where the server wants one.
   * @param {object} [options.start] More fields of `session.start`: speaker,
   *   conversation_id, observe, language, partials, modalities.
   */
  constructor({ url, sampleRate, token = "", start = {} }) {
    super();
    this.#url = new URL(url);
    const query = this.#url.searchParams;
    if (token) query.set("token", token);
    const key = start.conversation_id ?? Math.random().toString(36).slice(2);
    if (!query.has("conversation")) query.set("conversation", key); // for a load balancer
    this.#journal = new Journal(sampleRate, KEEP_S);
    const audio = { encoding: "pcm_s16le", sample_rate: sampleRate, channels: 1 };
    this.#itinerary = new Itinerary({ type: "session.start", audio, ...start });
    this.#tell(this.#itinerary.start);
  }

  /** Where it stands: see the class. */
  get state() {
    return this.#state;
  }

  /** `session.started` as the server sent it; null before. */
  get started() {
    return this.#started;
  }

  /** Milliseconds of audio that the browser has not got rid of yet. */
  get backlogMs() {
    return this.#journal.durationMs((this.#socket?.bufferedAmount ?? 0) / 2);
  }

  /** Milliseconds of audio given so far. */
  get audioMs() {
    return this.#itinerary.timeMs + this.#journal.audioMs;
  }

  /** Begin to connect. */
  open() {
    this.#enter("connecting");
    this.#connect();
  }

  /** Send 16-bit mono samples at the declared rate, cut anywhere. */
  sendAudio(samples) {
    if (samples.length === 0) return;
    const frame = this.#journal.addAudio(samples, performance.now());
    if (this.#isFlowing) this.#socket.send(frame);
  }

  /** The audio after this is another speaker's; ends the running turn. */
  setSpeaker(speaker) {
    this.#tell({ type: "speaker.set", speaker });
    this.#itinerary.noteSpeaker(this.#journal.nTexts, speaker);
  }

  /** Add a turn that was not heard: an agent's reply, a line of a chat. */
  addContext(speaker, text) {
    this.#tell({ type: "context.add", speaker, text });
  }

  /** End the running turn now. */
  flushTurn() {
    this.#tell({ type: "turn.flush" });
  }

  /** Ask for a `marker` once the audio before this is done with. */
  mark(id) {
    this.#tell({ type: "marker", id });
  }

  /** Say that this was all; the finals and `session.ended` are still to come. */
  end() {
    this.#hasSaidEnd = true;
    this.#tell({ type: "session.end" });
  }

  /** Find out soon whether the socket still lives: one that slept may be dead and mute. */
  probe() {
    if (!this.#isFlowing) return;
    const id = this.#ping();
    clearTimeout(this.#doubt);
    this.#doubt = setTimeout(() => this.#pingedAtMs.has(id) && this.#drop(), PROBE_MS);
  }

  /** Leave at once; what the server has not told yet is lost. */
  abandon() {
    this.#leave("failed", "abandoned", "");
  }

  /** Ask why no socket could be opened; gives a code of `diagnosis.js`. */
  diagnose() {
    return diagnose(this.#url);
  }

  /** When the sample at `ms` of the audio clock was sent (`performance.now()`), or null. */
  sentAt(ms) {
    return this.#journal.sentAt(ms - this.#itinerary.timeMs);
  }

  #tell(message) {
    const text = this.#journal.addText(JSON.stringify(message));
    if (this.#isFlowing) this.#socket.send(text);
  }

  // --- the socket -------------------------------------------------------------

  #connect() {
    const url = new URL(this.#url);
    if (this.#isResumable) url.searchParams.set("resume", "1"); // no other server will do
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#greet();
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lose(code, reason);
  }

  get #isResumable() {
    return this.#started !== null && !this.#isMoving;
  }

  #greet() {
    if (this.#isResumable) {
      const { session_id, resume_token } = this.#started;
      const last_seq = this.#lastSeq;
      const resume = { type: "session.resume", session_id, resume_token, last_seq };
      this.#socket.send(JSON.stringify(resume));
    } else {
      this.#flow(0, 0);
    }
  }

  /** Send what the server has not got, and from now on everything at once. */
  #flow(nSamples, nTexts) {
    const missing = this.#journal.after(nSamples, nTexts);
    if (missing === null) return this.#leave("failed", "audio_lost", "more was said than is kept");
    for (const frame of missing) this.#socket.send(frame);
    this.#isFlowing = true;
    this.#pingedAtMs.clear();
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#beat(), PING_EVERY_MS);
  }

  #take(message) {
    if (message.type === "session.resumed") {
      this.#flow(message.samples_received, message.client_messages_received);
      if (this.#isFlowing) this.#enter("open");
    } else {
      // A refusal to go on is of no session and has a number of its own.
      const isRefusal = message.type === "error" && (this.#isMoving || !this.#isFlowing);
      if (message.seq <= this.#lastSeq && !isRefusal) return;
      if (!isRefusal) this.#lastSeq = message.seq;
      if (message.type === "session.ended") {
        this.#ended = this.#itinerary.shift(message);
        if (this.#isWhole) this.#doubt = setTimeout(() => this.#drop(), CLOSING_MS);
        return;
      }
      this.#note(message);
    }
    this.#dispatch(this.#itinerary.shift(message));
    if (message.type === "session.started" && this.#isMoving) {
      this.#isMoving = false;
      this.#dispatch(this.#itinerary.announce(message));
    }
  }

  #dispatch(message) {
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #note(message) {
    if (message.type === "session.started") {
      this.#started = message;
      this.#enter("open");
    } else if (message.type === "pong") {
      this.#pingedAtMs.delete(message.id);
    } else if (message.type === "error" && !message.recoverable) {
      this.#lastError = message;
    }
  }

  #beat() {
    const [oldest] = this.#pingedAtMs.values();
    if (performance.now() - oldest > SILENCE_MS) this.#drop();
    else this.#ping();
  }

  #ping() {
    const id = `page-${this.#nPings}`;
    this.#nPings += 1;
    this.#pingedAtMs.set(id, performance.now());
    this.#tell({ type: "ping", id });
    return id;
  }

  /** Give up a socket that may never tell that it is dead: a laptop that was asleep. */
  #drop() {
    this.#detach();
    this.#lose(ABNORMAL, "");
  }

  #lose(code, reason) {
    this.#detach();
    const error = this.#lastError;
    this.#lastError = null;
    if (this.#ended) return this.#finish(code);
    const mayReturn = DROPS.has(code) && !error;
    const isFull = code === TRY_LATER && this.#state === "reconnecting";
    const canReturn = this.#isMoving || this.#started?.resume_token;
    if (canReturn && (mayReturn || isFull)) {
      this.#return();
    } else if (error) {
      this.#leave("failed", error.code, error.message);
    } else if (this.#started) {
      this.#leave("failed", mayReturn ? "dropped" : `closed_${code}`, reason);
    } else {
      this.#leave("failed", code === ABNORMAL ? "unreachable" : `closed_${code}`, reason);
    }
  }

  /** All is told; or a server that shuts down has not heard all, then another one goes on. */
  #finish(code) {
    if (code !== GOING_AWAY || this.#isWhole) {
      this.#dispatch(this.#ended);
      return this.#leave("ended", "", "");
    }
    const rest = this.#itinerary.move(this.#ended, this.#journal);
    if (rest === null) return this.#leave("failed", "audio_lost", "more was said than is kept");
    [this.#journal, this.#ended, this.#lastSeq, this.#isMoving] = [rest, null, -1, true];
    this.#return();
  }

  get #isWhole() {
    return this.#hasSaidEnd && this.#itinerary.isWhole(this.#ended, this.#journal);
  }

  // --- the way back -----------------------------------------------------------

  #return() {
    const nowMs = performance.now();
    if (this.#state !== "reconnecting") {
      this.#droppedAtMs = nowMs;
      this.#nTries = 0;
      this.#enter("reconnecting");
    }
    const windowS = this.#isMoving ? MOVE_S : this.#started.limits.resume_window_s;
    if (nowMs - this.#droppedAtMs > windowS * 1000) {
      this.#leave("failed", "too_late", "the server was away for too long");
      return;
    }
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#nTries);
    this.#nTries += 1;
    const jitter = 0.5 + Math.random() / 2; // a restarted server is not dialled by all at once
    this.#retry = setTimeout(() => this.#connect(), waitMs * jitter);
  }

  #detach() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    clearTimeout(this.#doubt);
    this.#isFlowing = false;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #leave(state, code, message) {
    this.#detach();
    this.#enter(state, code, message);
  }

  #enter(state, code = "", message = "") {
    if (this.#state === "ended" || this.#state === "failed") return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, code, message } }));
  }
}
