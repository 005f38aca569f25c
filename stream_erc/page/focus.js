/** One turn in full: all probabilities as bars, the sentiment, the waits. */

import { clock, colourName, drawShape, percent } from "./emotions.js";
import { nameOf } from "./conversation.js";
import { element } from "./turns.js";

const WAITS = {
  firstWordsMs: "first words after",
  firstEmotionMs: "first emotion after",
  finalMs: "emotion after the end of the turn",
};

/** Shows a turn in `root`; the bars stay and move. */
export class Focus {
  #root;
  #bars = new Map(); // by label
  #parts;

  constructor(root) {
    this.#root = root;
    this.#parts = {
      of: element("p", "of"),
      verdict: element("p", "verdict"),
      settled: element("p", "settled"),
      bars: element("div", "bars"),
      more: element("div", "more"),
    };
    root.append(...Object.values(this.#parts));
  }

  /** Show that nothing was heard yet: a bar for each label, all empty. */
  clear(labels) {
    this.#setLabels(labels);
    this.#parts.of.textContent = "";
    this.#parts.verdict.textContent = "–";
    this.#parts.settled.textContent = "no turn yet";
    this.#parts.more.replaceChildren();
    for (const label of labels) this.#setBar(label, 0, false);
  }

  /** Show a turn as it is now. */
  show(turn) {
    this.#root.classList.toggle("so-far", !turn.isFinal);
    this.#parts.of.textContent = `${nameOf(turn)}, ${clock(turn.startMs)}`;
    this.#parts.settled.textContent = standing(turn);
    this.#parts.verdict.replaceChildren(
      ...(turn.label ? [drawShape(turn.label), element("span", "", turn.label)] : ["–"]),
    );
    this.#setLabels(turn.label ? Object.keys(turn.probabilities) : [...this.#bars.keys()]);
    for (const label of this.#bars.keys()) {
      this.#setBar(label, turn.probabilities[label] ?? 0, label === turn.label);
    }
    this.#parts.more.replaceChildren(...sentiment(turn), ...numbers(turn));
  }

  #setLabels(labels) {
    if (labels.join() === [...this.#bars.keys()].join()) return;
    this.#bars = new Map(labels.map((label) => [label, makeBar(label)]));
    this.#parts.bars.replaceChildren(...this.#bars.values());
  }

  #setBar(label, probability, isTop) {
    const bar = this.#bars.get(label);
    bar.classList.toggle("top", isTop);
    bar.querySelector(".track i").style.transform = `scaleX(${probability})`;
    bar.querySelector(".value").textContent = percent(probability);
  }
}

function standing(turn) {
  if (turn.isFinal) {
    if (turn.isRejected) return "not speech";
    if (!turn.label) return "not judged: a model failed";
    const n = turn.final.context_turns;
    return `final, with ${n} earlier ${n === 1 ? "turn" : "turns"} in mind`;
  }
  if (turn.isCut) return "broken off before its end";
  return turn.label ? "so far; may still change" : "listening";
}

function makeBar(label) {
  const bar = element("div", "bar");
  const name = element("span", "name");
  name.append(drawShape(label), label);
  const track = element("span", "track");
  const fill = element("i", "");
  fill.style.background = `var(${colourName(label)})`;
  fill.style.transform = "scaleX(0)";
  track.append(fill);
  bar.append(name, track, element("span", "value"));
  return bar;
}

function sentiment({ sentiment }) {
  const names = Object.keys(sentiment);
  if (names.length === 0) return [];
  const strip = element("div", "sentiment");
  const legend = element("div", "sentiment-names");
  strip.setAttribute("aria-hidden", "true");
  for (const name of names) {
    const part = element("i", "");
    part.style.flex = String(sentiment[name]);
    strip.append(part);
    legend.append(element("span", "", `${name} ${percent(sentiment[name])}`));
  }
  return [element("h3", "", "Sentiment"), strip, legend];
}

function numbers({ waits, final }) {
  const rows = Object.entries(WAITS)
    .filter(([name]) => Number.isFinite(waits[name]))
    .map(([name, text]) => [text, `${(waits[name] / 1000).toFixed(2)} s`]);
  if (final) rows.push(["judged from", final.modalities.join(" and ") || "nothing"]);
  if (rows.length === 0) return [];
  const table = element("table", "");
  for (const [text, value] of rows) {
    const head = element("th", "", text);
    head.scope = "row";
    const row = table.insertRow();
    row.append(head, element("td", "", value));
  }
  return [element("h3", "", "Times"), table];
}
