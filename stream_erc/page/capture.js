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
 * Handlers: `onAudio(Int16Array)`, `onLevel({rms, peak})` of the same block, and
 * `onEnd(code)` when the sound is over without `stop`: "unplugged" or "file_over".
 */
class Capture {
  #context;
  #source;
  #recorder;
  #release;
  #isStopped = false;

  constructor(context, source, recorder, release) {
    this.#context = context;
    this.#source = source;
    this.#recorder = recorder;
    this.#release = release;
  }

  /** Samples per second of what `onAudio` gets. */
  get sampleRate() {
    return Math.round(this.#context.sampleRate / decimation(this.#context.sampleRate));
  }

  /** Let the sound begin, unless it was stopped before. */
  async begin() {
    if (this.#isStopped) return;
    this.#source.connect(this.#recorder);
    await this.#context.resume();
  }

  /** Go on where the browser has stopped the sound: a tab in the background, a call. */
  wake() {
    if (!this.#isStopped) this.#context.resume();
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
    this.#release();
    await this.#context.close();
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
  const release = () => stream.getTracks().forEach((track) => track.stop());
  stream.getAudioTracks()[0].addEventListener("ended", () => handlers.onEnd("unplugged"));
  const make = (context) => context.createMediaStreamSource(stream);
  return connect(make, handlers, release);
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
  player.addEventListener("ended", () => {
    setTimeout(() => handlers.onEnd("file_over"), TAIL_MS);
  });
  const make = (context) => {
    const source = context.createMediaElementSource(player);
    source.connect(context.destination);
    context.addEventListener("statechange", () => {
      if (context.state === "running") player.play();
    });
    return source;
  };
  return connect(make, handlers, release);
}

async function connect(makeSource, { onAudio, onLevel }, release) {
  const context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate < MIN_RATE_HZ) {
    release();
    throw new CaptureFailed("rate");
  }
  await context.suspend();
  try {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  } catch (error) {
    release();
    throw new CaptureFailed("unreachable", error); // it is fetched from the server
  }
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  recorder.port.addEventListener("message", ({ data }) => {
    if (data === "flushed") return;
    onAudio(data.pcm);
    onLevel(data);
  });
  recorder.port.start();
  return new Capture(context, makeSource(context), recorder, release);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
