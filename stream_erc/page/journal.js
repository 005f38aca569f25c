/** What a session has sent, in order, so that a new socket can go on where one broke. */

export class Journal {
  #rate;
  #keepSamples;
  #items = []; // {frame, isText, end, sentAtMs}: `end` counts texts, or samples
  #nTexts = 0;
  #nSamples = 0;
  #nSamplesGone = 0;

  /**
   * @param {number} rate Samples a second.
   * @param {number} keepS Seconds of audio to keep; older ones are forgotten.
   */
  constructor(rate, keepS) {
    this.#rate = rate;
    this.#keepSamples = rate * keepS;
  }

  /** Milliseconds of audio noted so far. */
  get audioMs() {
    return this.durationMs(this.#nSamples);
  }

  /** Texts noted so far. */
  get nTexts() {
    return this.#nTexts;
  }

  /** Note a text message; gives it back. */
  addText(text) {
    this.#nTexts += 1;
    this.#items.push({ frame: text, isText: true, end: this.#nTexts });
    return text;
  }

  /** Note samples (Int16Array) that were sent at `sentAtMs`; gives them back. */
  addAudio(samples, sentAtMs) {
    this.#nSamples += samples.length;
    this.#items.push({ frame: samples, isText: false, end: this.#nSamples, sentAtMs });
    this.#forget();
    return samples;
  }

  /**
   * What comes after the first `nSamples` samples and `nTexts` texts, in order; null
   * where some of it is forgotten.
   */
  after(nSamples, nTexts) {
    return this.#rest(nSamples, nTexts)?.map(({ frame }) => frame) ?? null;
  }

  /** The journal of a session that begins with `text` and goes on with what `after` gives. */
  cut(text, nSamples, nTexts) {
    const items = this.#rest(nSamples, nTexts);
    if (items === null) return null;
    const rest = new Journal(this.#rate, this.#keepSamples / this.#rate);
    rest.addText(text);
    for (const { frame, isText, sentAtMs } of items) {
      if (isText) rest.addText(frame);
      else rest.addAudio(frame, sentAtMs);
    }
    return rest;
  }

  /** When the sample at `ms` was sent; null where that is forgotten or yet to come. */
  sentAt(ms) {
    const sample = (ms / 1000) * this.#rate;
    if (sample < this.#nSamplesGone) return null;
    const item = this.#items.find(({ isText, end }) => !isText && end >= sample);
    return item?.sentAtMs ?? null;
  }

  /** How long so many samples are. */
  durationMs(nSamples) {
    return (nSamples / this.#rate) * 1000;
  }

  #rest(nSamples, nTexts) {
    if (nSamples < this.#nSamplesGone) return null;
    const items = [];
    for (const { frame, isText, end, sentAtMs } of this.#items) {
      if (isText && end > nTexts) items.push({ frame, isText });
      if (!isText && end > nSamples) {
        const known = Math.max(0, nSamples - (end - frame.length));
        items.push({ frame: frame.subarray(known), isText, sentAtMs });
      }
    }
    return items;
  }

  /** Forget old audio, and the texts before it: who got the one got the others. */
  #forget() {
    let n = 0;
    for (let i = 0; ; i += 1) {
      const { isText, end } = this.#items[i];
      if (isText) continue;
      if (this.#nSamples - end < this.#keepSamples) break;
      this.#nSamplesGone = end;
      n = i + 1;
    }
    if (n > 0) this.#items.splice(0, n);
  }
}
