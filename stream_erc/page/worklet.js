/**
 * Sound of a device -> blocks of 16-bit mono, in the audio thread.
 *
 * Self-contained: an AudioWorklet loads this file alone. Elsewhere (tests) it only
 * gives its classes.
 */

export const MAX_RATE_HZ = 48_000;
const BLOCK_MS = 30; // one message to the server; shorter ones are mostly overhead
const GAP_MS = 3_000; // a busy machine is late by less
const TAPS_PER_FACTOR = 32; // -80 dB from 1.1 times the new Nyquist frequency on

/** How many samples become one, so that the rate is one that the server takes. */
export function decimation(rateHz) {
  return Math.ceil(rateHz / MAX_RATE_HZ);
}

/** Lowers the rate by a whole factor, behind a low-pass; keeps its state between blocks. */
export class Decimator {
  #factor;
  #taps;
  #waiting = new Float32Array(0);

  constructor(factor) {
    this.#factor = factor;
    this.#taps = factor === 1 ? new Float32Array([1]) : lowPass(factor);
    this.#waiting = new Float32Array(this.#taps.length - 1); // as if silence came before
  }

  /** Give the samples at the lower rate; what does not fill one waits for the next call. */
  push(samples) {
    if (this.#factor === 1) return samples;
    const all = new Float32Array(this.#waiting.length + samples.length);
    all.set(this.#waiting);
    all.set(samples, this.#waiting.length);
    const n = Math.max(0, Math.floor((all.length - this.#taps.length) / this.#factor) + 1);
    const lower = new Float32Array(n);
    for (let i = 0; i < n; i += 1) {
      let sum = 0;
      for (let tap = 0; tap < this.#taps.length; tap += 1) {
        sum += this.#taps[tap] * all[i * this.#factor + tap];
      }
      lower[i] = sum;
    }
    this.#waiting = all.slice(n * this.#factor);
    return lower;
  }
}

/** A windowed sinc (Blackman) that passes 0.9 of the new Nyquist frequency; sums to 1. */
function lowPass(factor) {
  const n = TAPS_PER_FACTOR * factor + 1;
  const cutoff = 0.95 / factor; // of the old Nyquist frequency
  const taps = Float32Array.from({ length: n }, (_, i) => {
    const x = i - (n - 1) / 2;
    const sinc = x === 0 ? cutoff : Math.sin(Math.PI * cutoff * x) / (Math.PI * x);
    const phase = (2 * Math.PI * i) / (n - 1);
    return sinc * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** The mean of the channels. */
export function mixDown(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map(
    (_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length,
  );
}

/** Floats in [-1, 1] -> 16 bits; what is louder is clipped, what is not a number is 0. */
export function toPcm16(samples) {
  return Int16Array.from(samples, (sample) =>
    Math.max(-32_768, Math.min(32_767, Math.round(sample * 32_768))) || 0,
  );
}

/** Collects samples into blocks of one length. */
export class Blocks {
  #block;
  #filled = 0;

  constructor(length) {
    this.#block = new Float32Array(length);
  }

  /** Call `emit` with each block that gets full. */
  push(samples, emit) {
    for (let from = 0; from < samples.length; ) {
      const piece = samples.subarray(from, from + this.#block.length - this.#filled);
      this.#block.set(piece, this.#filled);
      this.#filled += piece.length;
      from += piece.length;
      if (this.#filled === this.#block.length) this.flush(emit);
    }
  }

  /** Call `emit` with what there is, if there is any. */
  flush(emit) {
    if (this.#filled > 0) emit(this.#block.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

/** Notices that the audio thread has stood still: a laptop asleep, sound held back. */
export class GapWatch {
  #lastMs = null;

  /**
   * Take note of a block of `lengthMs` that is full at `nowMs`; give the milliseconds
   * that are missing before it, 0 where it came in time.
   */
  pass(nowMs, lengthMs) {
    const gapMs = this.#lastMs === null ? 0 : nowMs - this.#lastMs - lengthMs;
    this.#lastMs = nowMs;
    return gapMs >= GAP_MS ? gapMs : 0;
  }
}

if (typeof registerProcessor === "function") {
  /** Posts `{pcm, rms, peak, gapMs}`; told "flush", it posts what is left and then "flushed". */
  class Recorder extends AudioWorkletProcessor {
    #decimator = new Decimator(decimation(sampleRate));
    #blocks = new Blocks(
      Math.round((sampleRate / decimation(sampleRate)) * (BLOCK_MS / 1000)),
    );
    #gaps = new GapWatch();
    #isDone = false;

    constructor() {
      super();
      this.port.onmessage = () => {
        this.#blocks.flush((block) => this.#post(block));
        this.port.postMessage("flushed");
        this.#isDone = true;
      };
    }

    process([channels]) {
      if (this.#isDone) return false;
      if (channels.length > 0) {
        const samples = this.#decimator.push(mixDown(channels));
        this.#blocks.push(samples, (block) => this.#post(block));
      }
      return true;
    }

    #post(block) {
      const pcm = toPcm16(block);
      const power = block.reduce((sum, sample) => sum + sample * sample, 0);
      const peak = block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      const rms = Math.sqrt(power / block.length);
      const lengthMs = (block.length * decimation(sampleRate) * 1000) / sampleRate;
      const gapMs = this.#gaps.pass(Date.now(), lengthMs); // its own clock stops, too
      this.port.postMessage({ pcm, rms, peak, gapMs }, [pcm.buffer]);
    }
  }
  registerProcessor("recorder", Recorder);
}
