/** Whether sound comes as it should; where it does not, the page says so. */

import { hideProblem, showLevel, showProblem } from "./status.js";

const SILENT_MS = 10_000; // no microphone that works gives zeros for so long
const STILL_MS = 3_000; // no sound at all for so long: the computer slept
const AWAKE_MS = 60_000; // what fails within it may be owed to that
const PASSING = ["held", "muted", "silent"]; // over once sound comes again

/** Of one session. Times are by the wall clock, which goes on while a computer sleeps. */
export class SoundWatch {
  #isMicrophone;
  #heardAtMs = Date.now();
  #loudAtMs = Date.now(); // the last sound that was not all zeros
  #wokeAtMs = -Infinity;
  #rms = 0; // the loudest block since the level was shown

  constructor(isMicrophone) {
    this.#isMicrophone = isMicrophone;
  }

  /** Whether the computer has slept a short while ago, or is about to find out. */
  get hasSlept() {
    const nowMs = Date.now();
    return nowMs - this.#heardAtMs > STILL_MS || nowMs - this.#wokeAtMs < AWAKE_MS;
  }

  /** A block has come: how loud it is. */
  note({ rms, peak }) {
    this.#rms = Math.max(this.#rms, rms);
    this.#heardAtMs = Date.now();
    if (peak > 0) {
      this.#loudAtMs = this.#heardAtMs;
      hideProblem(["silent"]);
    } else if (this.#isMicrophone && this.#heardAtMs - this.#loudAtMs > SILENT_MS) {
      this.#loudAtMs = Infinity; // it is said once
      showProblem("silent");
    }
  }

  /** Show how loud it was since the last time. */
  show() {
    showLevel(this.#rms);
    this.#rms = 0;
  }

  /** Time is missing before the block that comes now. */
  noteGap() {
    this.#wokeAtMs = Date.now();
    showProblem("gap");
  }

  /** No sound comes for the time being, or (without a code) it does again. */
  hold(code) {
    if (code) showProblem(code);
    else hideProblem(PASSING);
  }

  /** No more sound is expected. */
  end() {
    showLevel(0);
    hideProblem(PASSING);
  }
}
