/** The time line: shows a part of the time, lets it be moved, zoomed and pointed at. */

import { clock, LABELS, percent } from "./emotions.js";
import { nameOf } from "./conversation.js";
import { drawLanes, drawOverview, layOut, readPalette, scale } from "./drawing.js";

const SHORTEST_MS = 2_000;
const FOLLOWED_MS = 60_000; // as much as is seen while it follows
const ZOOM = 1.5; // of one press
const CLICK_PX = 4; // a pointer that moved less has not dragged

/** Dispatches "select" (detail: a turn) and "view" when the mode changes. */
export class Timeline extends EventTarget {
  #lanes;
  #overview;
  #pointed;
  #conversation = null;
  #selected = null;
  #pointedMs = null;
  #palette = null;
  #isAsked = false;
  #pointers = new Map(); // by id: {x, startX}
  #view = { startMs: 0, spanMs: FOLLOWED_MS };
  #mode = "follow"; // "follow": its end is now; "all": everything; "free": as it was put

  /** @param {{lanes: HTMLCanvasElement, overview: HTMLCanvasElement, pointed: HTMLElement}} elements */
  constructor({ lanes, overview, pointed }) {
    super();
    this.#lanes = lanes;
    this.#overview = overview;
    this.#pointed = pointed;
    this.#listen();
    new ResizeObserver(() => this.change()).observe(lanes);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#palette = null;
      this.change();
    });
  }

  get mode() {
    return this.#mode;
  }

  /** Show another conversation. */
  show(conversation) {
    this.#conversation = conversation;
    this.#selected = null;
    this.#palette = null;
    this.setMode("follow");
  }

  /** Mark a turn, and bring it into sight. */
  select(turn) {
    this.#selected = turn;
    const { startMs, spanMs } = this.#view;
    const isSeen = turn.startMs >= startMs && turn.startMs < startMs + spanMs;
    if (!isSeen) this.#move(turn.startMs - spanMs / 2);
    this.#tellValue();
    this.change();
  }

  /** "follow", "all" or "free". */
  setMode(mode) {
    this.#mode = mode;
    if (mode === "follow") this.#view.spanMs = Math.min(this.#view.spanMs, FOLLOWED_MS);
    this.dispatchEvent(new Event("view"));
    this.change();
  }

  /** Show `factor` times as much, around `atMs` (else around the middle). */
  zoom(factor, atMs = this.#view.startMs + this.#view.spanMs / 2) {
    const { startMs, spanMs } = this.#view;
    const longest = Math.max(SHORTEST_MS, this.#conversation.durationMs);
    const span = Math.max(SHORTEST_MS, Math.min(longest, spanMs * factor));
    this.#view.spanMs = span;
    this.#move(atMs - (atMs - startMs) * (span / spanMs));
  }

  /** Something to draw has changed; it is drawn with the next frame. */
  change() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    requestAnimationFrame(() => {
      this.#isAsked = false;
      this.#draw();
    });
  }

  #move(startMs) {
    const latest = Math.max(0, this.#conversation.durationMs - this.#view.spanMs);
    this.#view.startMs = Math.max(0, Math.min(latest, startMs));
    if (this.#mode !== "free") this.setMode("free");
    this.change();
  }

  #follow() {
    const { durationMs } = this.#conversation;
    if (this.#mode === "all") {
      this.#view.startMs = 0;
      this.#view.spanMs = Math.max(SHORTEST_MS, durationMs);
    } else if (this.#mode === "follow") {
      this.#view.startMs = Math.max(0, durationMs - this.#view.spanMs);
    }
  }

  // --- drawing ----------------------------------------------------------------

  #draw() {
    const conversation = this.#conversation;
    if (!conversation) return;
    if (conversation.labels.length === 0) conversation.labels = LABELS;
    this.#palette ??= readPalette(conversation.labels);
    this.#follow();
    const width = this.#lanes.clientWidth;
    const { height } = layOut(conversation.speakers.length, conversation.labels.length, width);
    const scene = {
      conversation,
      width,
      view: this.#view,
      palette: this.#palette,
      selected: this.#selected,
      pointedMs: this.#pointedMs,
    };
    drawLanes(prepare(this.#lanes, width, height), scene);
    const small = { width: this.#overview.clientWidth, height: this.#overview.clientHeight };
    drawOverview(prepare(this.#overview, small.width, small.height), { ...scene, ...small });
  }

  // --- pointing ---------------------------------------------------------------

  #listen() {
    const lanes = this.#lanes;
    lanes.addEventListener("pointerdown", (event) => this.#press(event));
    lanes.addEventListener("pointermove", (event) => this.#drag(event));
    lanes.addEventListener("pointerup", (event) => this.#release(event));
    lanes.addEventListener("pointercancel", ({ pointerId }) => this.#pointers.delete(pointerId));
    lanes.addEventListener("pointerleave", () => this.#point(null));
    lanes.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    lanes.addEventListener("keydown", (event) => this.#pressKey(event));
    for (const kind of ["pointerdown", "pointermove"]) {
      this.#overview.addEventListener(kind, (event) => this.#scrub(event));
    }
  }

  #scale() {
    const width = this.#lanes.clientWidth;
    const { labels, speakers } = this.#conversation;
    return scale(this.#view, layOut(speakers.length, labels.length, width).gutter, width);
  }

  #press({ pointerId, offsetX }) {
    this.#lanes.setPointerCapture(pointerId);
    this.#pointers.set(pointerId, { x: offsetX, startX: offsetX });
  }

  #drag({ pointerId, offsetX }) {
    const { toMs } = this.#scale();
    const pressed = this.#pointers.get(pointerId);
    this.#point(toMs(offsetX));
    if (!pressed) return;
    const other = [...this.#pointers.values()].find((pointer) => pointer !== pressed);
    if (other) {
      const [before, after] = [Math.abs(pressed.x - other.x), Math.abs(offsetX - other.x)];
      if (before > CLICK_PX && after > CLICK_PX) this.zoom(before / after, toMs(other.x));
    } else if (Math.abs(offsetX - pressed.startX) > CLICK_PX) {
      this.#move(this.#view.startMs + toMs(pressed.x) - toMs(offsetX));
    }
    pressed.x = offsetX;
  }

  #release({ pointerId, offsetX }) {
    const pressed = this.#pointers.get(pointerId);
    this.#pointers.delete(pointerId);
    if (!pressed || Math.abs(offsetX - pressed.startX) > CLICK_PX) return;
    this.#choose(this.#conversation.turnAt(this.#scale().toMs(offsetX)));
  }

  #wheel(event) {
    const { toMs } = this.#scale();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 300), toMs(event.offsetX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.#move(this.#view.startMs + toMs(event.deltaX) - toMs(0));
    }
  }

  #scrub({ offsetX, buttons }) {
    if (buttons !== 1) return;
    const ms = (offsetX / this.#overview.clientWidth) * this.#conversation.durationMs;
    if (this.#mode === "all") this.#view.spanMs = Math.min(this.#view.spanMs, FOLLOWED_MS);
    this.#move(ms - this.#view.spanMs / 2);
  }

  #pressKey(event) {
    const { turns } = this.#conversation;
    const at = turns.indexOf(this.#selected);
    const last = turns.length - 1;
    const targets = {
      ArrowLeft: at < 0 ? last : Math.max(0, at - 1),
      ArrowRight: at < 0 ? 0 : Math.min(last, at + 1),
      Home: 0,
      End: last,
    };
    if (Object.hasOwn(targets, event.key)) this.#choose(turns[targets[event.key]]);
    else if (event.key === "+" || event.key === "=") this.zoom(1 / ZOOM);
    else if (event.key === "-") this.zoom(ZOOM);
    else return;
    event.preventDefault();
  }

  #choose(turn) {
    if (turn) this.dispatchEvent(new CustomEvent("select", { detail: turn }));
  }

  #point(ms) {
    this.#pointedMs = ms;
    const turn = ms === null ? undefined : this.#conversation.turnAt(ms);
    this.#pointed.textContent = turn && ms >= 0 ? `${clock(ms)}  ${describe(turn)}` : "";
    this.change();
  }

  #tellValue() {
    const { turns } = this.#conversation;
    const at = turns.indexOf(this.#selected);
    this.#lanes.setAttribute("aria-valuemax", Math.max(0, turns.length - 1));
    this.#lanes.setAttribute("aria-valuenow", Math.max(0, at));
    const text = `turn ${at + 1} of ${turns.length}, ${describe(this.#selected)}`;
    this.#lanes.setAttribute("aria-valuetext", text);
  }
}

/** A turn in a line. */
export function describe(turn) {
  const words = turn.isRejected ? "not speech" : turn.text;
  if (!turn.label) return `${nameOf(turn)}: ${words}`;
  const feeling = `${turn.label} ${percent(turn.probabilities[turn.label])}`;
  return `${nameOf(turn)}: ${words} – ${feeling}`;
}

/** Give the pen of a canvas, sized for the screen, in CSS pixels. */
export function prepare(canvas, width, height, ratio = devicePixelRatio) {
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    if (canvas.style) canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}
