/** How emotions look: each has a colour and a shape, so that either is enough. */

const SHAPES = {
  // Paths in a square from 0 to 16.
  neutral: "M8 2a6 6 0 1 0 .01 0zM8 5a3 3 0 1 1-.01 0z", // a ring
  surprise: "M8 1l7 7-7 7-7-7z", // a diamond
  fear: "M1 11l3.5-7L8 9l3.5-5L15 11v2H1z", // a jagged crest
  sadness: "M2 4h12L8 14z", // points down
  joy: "M8 0l2 5.2 5.6.3-4.4 3.5 1.5 5.4L8 11.3l-4.7 3.1 1.5-5.4L.4 5.5 6 5.200z", // a star
  disgust: "M3 1l5 4.5L13 1l2 2-4.5 5L15 13l-2 2-5-4.5L3 15l-2-2 4.5-5L1 3z", // a cross
  anger: "M8 2l7 12H1z", // points up
};
const OTHER_SHAPE = "M3 3h10v10H3z"; // a square: a class that this page does not know

/** The classes that have a shape, in the order of the shipped model. */
export const LABELS = Object.keys(SHAPES);

/** The path of a label's shape, in a square from 0 to 16. */
export function shapeOf(label) {
  return Object.hasOwn(SHAPES, label) ? SHAPES[label] : OTHER_SHAPE;
}

/** The custom property of style.css that holds a label's colour. */
export function colourName(label) {
  return Object.hasOwn(SHAPES, label) ? `--${label}` : "--other";
}

/** A new SVG element with a label's shape; the name beside it says what it means. */
export function drawShape(label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "shape");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shapeOf(label));
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  svg.style.color = `var(${colourName(label)})`;
  return svg;
}

/** Fill an element with the page's mark: a bar for each class. */
export function drawMark(mark) {
  const heights = [30, 60, 45, 100, 75, 50, 85];
  for (const [i, label] of LABELS.entries()) {
    const bar = document.createElement("i");
    bar.style.height = `${heights[i]}%`;
    bar.style.background = `var(${colourName(label)})`;
    mark.append(bar);
  }
}

/** 0.8249 -> "82 %". */
export function percent(probability) {
  return `${Math.round(probability * 100)} %`;
}

/** 83_400 -> "1:23". */
export function clock(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1000); // below 0: before this page listened
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
