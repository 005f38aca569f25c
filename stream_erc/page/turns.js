/** The conversation as a list: who said what, and what it conveyed. */

import { clock, colourName, drawShape, percent } from "./emotions.js";
import { nameOf } from "./conversation.js";

const ELSEWHERE = ", at another microphone";
const NEAR_PX = 60; // so near to the end the list follows the conversation

/** Dispatches "select" (detail: a turn). */
export class TurnList extends EventTarget {
  #list;
  #latest; // the button that leads back to the end
  #turns = []; // in order of their start
  #items = new Map(); // by turn: its element
  #changed = new Set();
  #selected = null;
  #isFollowing = true;

  constructor(list, latest) {
    super();
    this.#list = list;
    this.#latest = latest;
    list.addEventListener("scroll", () => {
      this.#follow(list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX);
    });
    list.addEventListener("keydown", (event) => this.#press(event));
    latest.addEventListener("click", () => this.#follow(true));
  }

  /** Forget all turns. */
  clear() {
    this.#list.replaceChildren();
    this.#turns = [];
    this.#items.clear();
    this.#changed.clear();
    this.#selected = null;
    this.#follow(true);
  }

  /** Show a turn as it is now, with the next frame. */
  show(turn) {
    if (this.#changed.size === 0) requestAnimationFrame(() => this.#draw());
    this.#changed.add(turn);
  }

  /** Mark a turn, and bring it into sight. */
  select(turn) {
    this.#items.get(this.#selected)?.classList.remove("selected");
    this.#selected = turn;
    const item = this.#items.get(turn);
    item?.classList.add("selected");
    item?.scrollIntoView({ block: "nearest" });
  }

  #draw() {
    for (const turn of this.#changed) {
      const item = this.#items.get(turn) ?? this.#insert(turn);
      item.className = turn.isFinal ? "turn" : "turn so-far";
      item.classList.toggle("selected", turn === this.#selected);
      item.replaceChildren(when(turn), saying(turn), feeling(turn));
    }
    this.#changed.clear();
    if (this.#isFollowing) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Make a turn's element; another participant's may come before some that are here. */
  #insert(turn) {
    const item = document.createElement("li");
    item.addEventListener("click", () => this.#choose(turn));
    const at = this.#turns.findLastIndex(({ startMs }) => startMs <= turn.startMs) + 1;
    this.#list.insertBefore(item, this.#items.get(this.#turns[at]) ?? null);
    this.#turns.splice(at, 0, turn);
    this.#items.set(turn, item);
    return item;
  }

  #follow(isFollowing) {
    this.#isFollowing = isFollowing;
    this.#latest.hidden = isFollowing;
    if (isFollowing) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #press(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const turns = this.#turns;
    if (!step || turns.length === 0) return;
    event.preventDefault();
    const at = this.#selected ? turns.indexOf(this.#selected) : turns.length;
    this.#choose(turns[Math.max(0, Math.min(turns.length - 1, at + step))]);
  }

  #choose(turn) {
    this.dispatchEvent(new CustomEvent("select", { detail: turn }));
  }
}

function when({ startMs }) {
  return element("time", "when", clock(startMs));
}

function saying(turn) {
  const saying = element("div", "saying");
  const who = element("div", "who");
  who.append(element("bdi", "", nameOf(turn)), turn.isElsewhere ? ELSEWHERE : "");
  saying.append(who, words(turn));
  return saying;
}

/** The settled words upright, the tentative ones as such. */
function words(turn) {
  if (!turn.text) return element("div", "words nothing", placeholder(turn));
  const line = element("div", "words", turn.text.slice(0, turn.stableChars));
  if (turn.stableChars < turn.text.length) {
    line.append(element("span", "tentative", turn.text.slice(turn.stableChars)));
  }
  return line;
}

function placeholder({ isRejected, isCut, isFinal }) {
  if (isRejected) return "not speech";
  if (isCut) return "broken off";
  return isFinal ? "no words" : "…";
}

/** The likeliest emotion by name, and all of them as small bars. */
function feeling({ label, probabilities, isFinal, isRejected }) {
  const feeling = element("div", "feeling");
  if (!label) {
    feeling.append(element("span", "name", isFinal && !isRejected ? "not judged" : ""));
    return feeling;
  }
  const name = element("span", "name");
  name.append(drawShape(label), element("b", "", label), percent(probabilities[label]));
  const spark = element("span", "spark");
  spark.setAttribute("aria-hidden", "true");
  for (const [other, probability] of Object.entries(probabilities)) {
    const bar = element("i", "");
    bar.style.height = `${probability * 100}%`;
    bar.style.background = `var(${colourName(other)})`;
    spark.append(bar);
  }
  feeling.append(name, spark);
  return feeling;
}

/** A new element; its text is never read as HTML. */
export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
