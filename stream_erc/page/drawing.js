/**
 * Turns -> a picture: for each speaker a lane, in it a row for each emotion, and in the
 * row a bar as high as the probability. The place tells the emotion, not the colour alone.
 */

import { clock, colourName, shapeOf } from "./emotions.js";

const MOST_PX = 240; // of all lanes together; with many speakers the rows get thinner
const NAMED_PX = 12; // in lower rows the names would overlap; the shapes do not
const HEAD_PX = 17;
const AXIS_PX = 20;
const TICKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const TICK_GAP_PX = 76;
const OVERVIEW_EDGE_PX = 3; // the frame of what is seen does not cover a mark

/** Sizes in CSS pixels: `{gutter, row, lane, head, axis, height}`. */
export function layOut(nSpeakers, nLabels, width) {
  const lanes = Math.max(1, nSpeakers);
  const room = (MOST_PX - AXIS_PX) / lanes - HEAD_PX;
  const row = Math.max(4, Math.min(14, Math.floor(room / nLabels)));
  const lane = HEAD_PX + row * nLabels + 4;
  const gutter = row < NAMED_PX || width < 560 ? 28 : 92;
  return { gutter, row, lane, head: HEAD_PX, axis: AXIS_PX, height: lanes * lane + AXIS_PX };
}

/** Milliseconds -> pixels, and back, for a part of the time on a width. */
export function scale({ startMs, spanMs }, gutter, width) {
  const room = Math.max(1, width - gutter);
  return {
    toX: (ms) => gutter + ((ms - startMs) / spanMs) * room,
    toMs: (x) => startMs + ((x - gutter) / room) * spanMs,
  };
}

/** The colours of the page as they are now: dark or light. */
export function readPalette(labels) {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    panel: read("--panel"),
    ink: read("--ink"),
    soft: read("--soft"),
    line: read("--line"),
    faint: read("--faint"),
    accent: read("--accent"),
    font: `12px ${read("--sans")}`,
    byLabel: Object.fromEntries(labels.map((name) => [name, read(colourName(name))])),
  };
}

/**
 * Draw what is visible of a conversation.
 *
 * @param {CanvasRenderingContext2D} pen In CSS pixels.
 * @param {object} scene
 * @param {import("./conversation.js").Conversation} scene.conversation
 * @param {{startMs: number, spanMs: number}} scene.view
 * @param {number} scene.width
 * @param {object} scene.palette
 * @param {?object} scene.selected A turn.
 * @param {?number} scene.pointedMs Where the pointer is.
 * @returns {number} How many turns were drawn.
 */
export function drawLanes(pen, scene) {
  const { conversation, view, width, palette } = scene;
  const { labels, speakers } = conversation;
  const sizes = layOut(speakers.length, labels.length, width);
  const { toX } = scale(view, sizes.gutter, width);
  pen.fillStyle = palette.panel;
  pen.fillRect(0, 0, width, sizes.height);
  pen.font = palette.font;
  drawAxis(pen, scene, sizes, toX);
  const names = speakers.length ? speakers : [""];
  names.forEach((name, i) => drawLane(pen, scene, sizes, name, i * sizes.lane));
  pen.save();
  pen.beginPath();
  pen.rect(sizes.gutter, 0, width - sizes.gutter, sizes.height);
  pen.clip();
  const tops = new Map(names.map((name, i) => [name, i * sizes.lane]));
  const visible = visibleTurns(conversation, view);
  for (const turn of visible) drawTurn(pen, scene, sizes, turn, tops, toX);
  drawPointer(pen, scene, sizes, toX);
  pen.restore();
  return visible.length;
}

/** The turns of which something lies in a part of the time. */
export function visibleTurns(conversation, { startMs, spanMs }) {
  const from = Math.max(0, conversation.indexAfter(startMs) - 1);
  return conversation.turns.slice(from, conversation.indexAfter(startMs + spanMs));
}

function drawAxis(pen, { view, width, palette }, { gutter, axis, height }, toX) {
  const room = ((width - gutter) / view.spanMs) * 1000; // pixels a second
  const stepS = TICKS_S.find((step) => step * room >= TICK_GAP_PX) ?? TICKS_S.at(-1);
  const stepMs = stepS * 1000;
  pen.textAlign = "left";
  pen.textBaseline = "alphabetic";
  const endMs = view.startMs + view.spanMs;
  for (let ms = Math.max(0, Math.ceil(view.startMs / stepMs) * stepMs); ms < endMs; ms += stepMs) {
    const x = Math.round(toX(ms));
    pen.fillStyle = palette.line;
    pen.fillRect(x, 0, 1, height - axis + 5);
    pen.fillStyle = palette.soft;
    const isWhole = x + 4 + pen.measureText(clock(ms)).width <= width;
    if (isWhole) pen.fillText(clock(ms), x + 4, height - 5);
  }
}

function drawLane(pen, { conversation, width, palette }, sizes, name, top) {
  const { gutter, row, head } = sizes;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillStyle = palette.ink;
  pen.fillText(name, gutter + 4, top + head / 2 + 1);
  conversation.labels.forEach((label, i) => {
    const y = top + head + (i + 1) * row;
    pen.fillStyle = palette.faint;
    pen.fillRect(gutter, y - 1, width - gutter, 1);
    drawShape(pen, label, palette.byLabel[label], gutter - 18, y - row / 2 - 5, Math.min(10, row));
    if (gutter < 60) return;
    pen.fillStyle = palette.soft;
    pen.textAlign = "right";
    pen.fillText(label, gutter - 24, y - row / 2);
    pen.textAlign = "left";
  });
}

function drawShape(pen, label, colour, x, y, size) {
  pen.save();
  pen.translate(x, y);
  pen.scale(size / 16, size / 16);
  pen.fillStyle = colour;
  pen.fill(new Path2D(shapeOf(label)), "evenodd");
  pen.restore();
}

/** Draw a turn in its speaker's lane; as an outline over all while nobody knows whose. */
function drawTurn(pen, { conversation, palette, selected }, sizes, turn, tops, toX) {
  const isWhose = tops.has(turn.speaker);
  const top = (tops.get(turn.speaker) ?? 0) + sizes.head;
  const endMs = turn.isEnded ? turn.endMs : conversation.durationMs;
  const left = toX(turn.startMs);
  const width = Math.max(2, toX(endMs) - left - 1);
  const bottom = isWhose ? top + sizes.row * conversation.labels.length : sizes.height - sizes.axis;
  const height = bottom - top;
  if (turn === selected) {
    pen.fillStyle = palette.faint;
    pen.fillRect(left, top, width, height);
  }
  if (isWhose) drawBars(pen, conversation.labels, palette, sizes.row, turn, { left, top, width });
  if (turn === selected || !turn.label || !isWhose) {
    pen.strokeStyle = turn === selected ? palette.ink : palette.line;
    pen.strokeRect(left + 0.5, top - 0.5, width - 1, height);
  }
}

function drawBars(pen, labels, palette, row, turn, { left, top, width }) {
  pen.globalAlpha = turn.isFinal ? 1 : 0.5;
  labels.forEach((label, i) => {
    const bar = (turn.probabilities[label] ?? 0) * (row - 1);
    if (bar < 0.4) return;
    pen.fillStyle = palette.byLabel[label];
    pen.fillRect(left, top + (i + 1) * row - bar, width, bar);
  });
  pen.globalAlpha = 1;
}

function drawPointer(pen, { pointedMs, palette }, { height, axis }, toX) {
  if (pointedMs === null) return;
  pen.fillStyle = palette.ink;
  pen.fillRect(Math.round(toX(pointedMs)), 0, 1, height - axis);
}

/** Draw the whole conversation small: each turn a mark in the row of its emotion. */
export function drawOverview(pen, { conversation, view, width, height, palette }) {
  const { labels, turns, durationMs } = conversation;
  pen.fillStyle = palette.faint;
  pen.fillRect(0, 0, width, height);
  const { toX } = scale({ startMs: 0, spanMs: Math.max(1, durationMs) }, 0, width);
  const row = (height - 2 * OVERVIEW_EDGE_PX) / labels.length;
  for (const { label, startMs, endMs } of turns) {
    if (!label) continue;
    pen.fillStyle = palette.byLabel[label];
    const left = toX(startMs);
    const y = OVERVIEW_EDGE_PX + labels.indexOf(label) * row;
    pen.fillRect(left, y, Math.max(1.5, toX(endMs) - left), row);
  }
  const left = Math.max(0, toX(view.startMs));
  const right = Math.min(width, toX(view.startMs + view.spanMs));
  pen.strokeStyle = palette.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(left + 1, 1, Math.max(6, right - left - 2), height - 2);
  pen.lineWidth = 1;
}
