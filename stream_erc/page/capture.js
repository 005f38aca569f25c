/** A microphone or a file -> blocks of 16-bit mono at the device's own rate. */

import { decimation } from "./worklet.js";

const MIN_RATE_HZ = 8_000;
const FLUSH_TIMEOUT_MS = 500; // a suspended audio thread never answers
const TAIL_MS = 250; // the graph is a few blocks behind the file that has ended

/** Why there is no sound; `code` is one of `states.js`. */
export class CaptureFailed extends Error {
  constructor(code, cause) {
    super(cause?.message ?? code, { cause });
    this.code = code;
  }
}

/**
 * Sound that is being captured; made by `openMicrophone` and `openFile`.
 *
 * Handlers, all of them optional but the first:
 *
 * - `onAudio(Int16Array)`;
 * - `onLevel({rms, peak})` of the same block;
 * - `onGap(ms)`: so much is missing before the block that comes next;
 * - `onHold(code)`: no sound comes for the time being, "held" by the browser or "muted"
 *   by the system; "" when it comes again;
 * - `onEnd(code)`: the sound is over without `stop`: "unplugged", "file_over" or
 *   "file_broken".
 */
class Capture {
  #context;
  #source;
  #recorder;
  #onHold;
  #isBegun = false;
  #isStopped = false;

  constructor(context, source, recorder, onHold = () => {}) {
    this.#context = context;
    this.#source = source;
    this.#recorder = recorder;
    this.#onHold = onHold;
    context.addEventListener("statechange", () => this.#follow());
  }

  /** Samples per second of what `onAudio` gets. */
  get sampleRate() {
    return Math.round(this.#context.sampleRate / decimation(this.#context.sampleRate));
  }

  /** Let the sound begin, unless it was stopped before. */
  async begin() {
    if (this.#isStopped) return;
    this.#isBegun = true;
    this.#source.node.connect(this.#recorder);
    await this.#resume();
  }

  /** Go on where the browser has stopped the sound: a tab in the background, a call. */
  wake() {
    if (this.#isBegun && !this.#isStopped) this.#resume();
  }

  /** Hand over the tail, then let the device go; resolves when all is handed over. */
  async stop() {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const flushed = new Promise((resolve) => {
      this.#recorder.port.addEventListener("message", ({ data }) => {
        if (data === "flushed") resolve();
      });
    });
    this.#recorder.port.postMessage("flush");
    await Promise.race([flushed, sleep(FLUSH_TIMEOUT_MS)]);
    this.#source.release();
    await this.#context.close();
  }

  /** Let the audio thread run; where `stop` comes first, the browser gives this up. */
  async #resume() {
    await this.#context.resume().catch((error) => {
      if (!this.#isStopped) throw error;
    });
  }

  #follow() {
    if (!this.#isBegun || this.#isStopped) return;
    const isRunning = this.#context.state === "running";
    this.#source.follow(isRunning);
    this.#onHold(isRunning ? "" : "held");
  }
}

/**
 * Open the microphone, after the browser has asked the user.
 *
 * Its processing is left off: it alters loudness and timbre, from which the emotion of
 * a voice is told.
 *
 * @throws {CaptureFailed} insecure, denied, no_microphone, busy, rate, unreachable.
 */
export async function openMicrophone(handlers) {
  if (!navigator.mediaDevices) throw new CaptureFailed("insecure");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    throw new CaptureFailed(microphoneProblem(error), error);
  }
  const [track] = stream.getAudioTracks();
  track.addEventListener("ended", () => handlers.onEnd?.("unplugged"));
  track.addEventListener("mute", () => handlers.onHold?.("muted"));
  track.addEventListener("unmute", () => handlers.onHold?.(""));
  const source = {
    connectTo: (context) => context.createMediaStreamSource(stream),
    follow: () => {},
    release: () => track.stop(),
  };
  return connect(source, handlers);
}

function microphoneProblem({ name }) {
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "no_microphone";
  return "busy";
}

/**
 * Open an audio or video file; it is played aloud, at the pace of life.
 *
 * A media element decodes as it plays, so an hour takes no more memory than a minute.
 * Where the browser holds the sound the file waits: nothing of it is missing.
 *
 * @throws {CaptureFailed} not_audio, rate, unreachable.
 */
export async function openFile(file, handlers) {
  const player = new Audio(URL.createObjectURL(file));
  const release = () => {
    player.pause();
    URL.revokeObjectURL(player.src);
  };
  await new Promise((resolve, reject) => {
    player.addEventListener("canplay", resolve, { once: true });
    player.addEventListener("error", () => {
      release();
      reject(new CaptureFailed("not_audio", player.error));
    });
  });
  const end = (code) => setTimeout(() => handlers.onEnd?.(code), TAIL_MS);
  player.addEventListener("ended", () => end("file_over"));
  player.addEventListener("error", () => end("file_broken"));
  const source = {
    connectTo: (context) => {
      const node = context.createMediaElementSource(player);
      node.connect(context.destination);
      return node;
    },
    follow: (isRunning) => (isRunning ? player.play() : player.pause()),
    release,
  };
  return connect(source, { ...handlers, onGap: undefined });
}

/**
 * @param {object} source `connectTo(context)` gives its node, `follow(isRunning)` is told
 *   of the audio thread, `release()` lets it go.
 * @param {object} handlers See `Capture`.
 */
async function connect(source, { onAudio, onLevel, onGap, onHold }) {
  const context = new AudioContext({ latencyHint: "interactive" });
  const fail = async (code, cause) => {
    source.release();
    await context.close();
    throw new CaptureFailed(code, cause);
  };
  if (context.sampleRate < MIN_RATE_HZ) await fail("rate");
  await context.suspend();
  const module = new URL("worklet.js", import.meta.url);
  await context.audioWorklet.addModule(module).catch((error) => fail("unreachable", error));
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  recorder.port.addEventListener("message", ({ data }) => {
    if (data === "flushed") return;
    if (data.gapMs) onGap?.(data.gapMs);
    onAudio(data.pcm);
    onLevel?.(data);
  });
  recorder.port.start();
  return new Capture(context, { ...source, node: source.connectTo(context) }, recorder, onHold);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
