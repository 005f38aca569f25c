/** A conversation -> files that others read: JSON Lines, CSV, WebVTT, PNG. */

import { percent } from "./emotions.js";
import { nameOf } from "./conversation.js";
import { drawLanes, layOut, readPalette } from "./drawing.js";
import { prepare } from "./timeline.js";

const PNG_PX = { shortest: 900, longest: 8_000, aSecond: 8, ratio: 2 };

/** Every message as it came, one a line; `toMessages` reads it again. */
export function toJsonLines(messages) {
  return messages.map((message) => `${JSON.stringify(message)}\n`).join("");
}

/**
 * Read what `toJsonLines` wrote.
 *
 * @throws {SyntaxError} If a line is not a message.
 */
export function toMessages(text) {
  const messages = text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
  if (!messages.every((message) => typeof message?.type === "string")) {
    throw new SyntaxError("expected a message with a type in each line");
  }
  return messages;
}

/** A row for each finished turn, a column for each probability; RFC 4180. */
export function toCsv({ turns, labels }) {
  const head = ["turn", "speaker", "start_ms", "end_ms", "text", "rejected", "emotion"];
  const rows = turns
    .filter(({ isFinal }) => isFinal)
    .map((turn) => [
      turn.turn ?? "", // other participants' turns have no number here
      guard(nameOf(turn)),
      turn.startMs,
      turn.endMs,
      guard(turn.text),
      turn.isRejected,
      turn.label ?? "",
      ...labels.map((label) => turn.probabilities[label] ?? ""),
    ]);
  return [[...head, ...labels], ...rows].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

/** Keep a spreadsheet from calculating what somebody said (OWASP, "CSV Injection"). */
function guard(text) {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}

function quote(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A cue for each finished turn that has words: who, what, and the emotion. */
export function toVtt({ turns }) {
  const cues = turns
    .filter(({ isFinal, text }) => isFinal && text)
    .map((turn, i) => {
      const times = `${vttTime(turn.startMs)} --> ${vttTime(turn.endMs)}`;
      const who = escapeVtt(nameOf(turn)).replaceAll(/\s+/g, " ");
      const feeling = turn.label ? `[${turn.label} ${percent(turn.probabilities[turn.label])}]\n` : "";
      return `${i + 1}\n${times}\n<v ${who}>${escapeVtt(turn.text)}</v>\n${feeling}`;
    });
  return ["WEBVTT\n", ...cues].join("\n");
}

function vttTime(of) {
  const ms = Math.max(0, of);
  const pad = (number, n = 2) => String(number).padStart(n, "0");
  const [seconds, minutes] = [Math.floor(ms / 1000), Math.floor(ms / 60_000)];
  return `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}:${pad(seconds % 60)}.${pad(ms % 1000, 3)}`;
}

/** What would end a cue or a tag is written as an entity. */
function escapeVtt(text) {
  const flat = text.replaceAll(/[\r\n]+/g, " ");
  return flat.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** The time line of the whole conversation. */
export function toPng(conversation) {
  const { durationMs, labels, speakers } = conversation;
  const spanMs = Math.max(1000, durationMs);
  const wanted = (spanMs / 1000) * PNG_PX.aSecond;
  const width = Math.max(PNG_PX.shortest, Math.min(PNG_PX.longest, wanted));
  const canvas = document.createElement("canvas");
  const { height } = layOut(speakers.length, labels.length, width);
  drawLanes(prepare(canvas, width, height, PNG_PX.ratio), {
    conversation,
    width,
    view: { startMs: 0, spanMs },
    palette: readPalette(labels),
    selected: null,
    pointedMs: null,
  });
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

const WRITERS = {
  jsonl: ({ messages }) => new Blob([toJsonLines(messages)], { type: "application/jsonl" }),
  csv: (conversation) => new Blob([toCsv(conversation)], { type: "text/csv" }),
  vtt: (conversation) => new Blob([toVtt(conversation)], { type: "text/vtt" }),
  png: toPng,
};

/** Let the browser save the conversation as "jsonl", "csv", "vtt" or "png". */
export async function save(conversation, format, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await WRITERS[format](conversation));
  link.download = `${name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the download has begun by then
}
