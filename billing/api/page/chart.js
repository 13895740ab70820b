// A bar chart of amounts over time. Keys and pointer choose a bar; what is chosen is told beside the chart.

import { h, svg } from "./dom.js";
import { part, pico } from "./figures.js";

const WIDTH = 720;
const HEIGHT = 220;
const TOP = 8;
const BOTTOM = 24;
const GAP = 0.22;
const LABELS_MAX = 6;
const SPARK_MIN = 15;

/**
 * Draw bars. Points: {amount: text, label: text under the axis, told: sentence}; describe: what the chart is.
 * Returns an element with the chart, and a line that tells the chosen bar.
 */
export function chart(points, describe) {
  const values = points.map((one) => pico(one.amount));
  const most = values.reduce((a, b) => (b > a ? b : a), 0n);
  const least = values.reduce((a, b) => (b < a ? b : a), 0n);
  const room = HEIGHT - TOP - BOTTOM;
  const span = most - least;
  const zero = TOP + room * (span === 0n ? 1 : part(most, span));
  const step = WIDTH / Math.max(points.length, 1);
  const bars = points.map((one, number) => {
    const size = span === 0n ? 0 : room * part(values[number] < 0n ? -values[number] : values[number], span);
    const tall = values[number] === 0n ? 0 : Math.max(size, 1.5);
    return svg("rect", {
      class: values[number] < 0n ? "bar minus" : "bar",
      x: (number * step + (step * GAP) / 2).toFixed(2),
      y: (values[number] < 0n ? zero : zero - tall).toFixed(2),
      width: (step * (1 - GAP)).toFixed(2),
      height: tall.toFixed(2),
      rx: Math.min(3, step / 6).toFixed(2),
    });
  });
  const mark = svg("rect", { class: "mark", x: 0, y: TOP, width: step.toFixed(2), height: room, visibility: "hidden" });
  const lines = [0.25, 0.5, 0.75, 1].map((share) =>
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: TOP + room * (1 - share), y2: TOP + room * (1 - share) }),
  );
  const axis = svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: zero.toFixed(2), y2: zero.toFixed(2) });
  const every = Math.ceil(points.length / LABELS_MAX);
  const labels = points.map((one, number) =>
    number % every === 0 ? h("span", {}, one.label) : null,
  );
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT - BOTTOM + 4}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    lines, mark, bars, axis,
  );
  const told = h("p", { class: "told", "aria-live": "polite" }, "Choose a bar with the pointer or the arrow keys.");
  const frame = h(
    "div",
    { class: "chart", tabindex: "0", role: "application", "aria-roledescription": "bar chart", "aria-label": describe },
    drawing,
    h("div", { class: "labels", "aria-hidden": "true" }, labels),
  );
  let chosen = -1;
  const choose = (number) => {
    if (!points.length) return;
    chosen = Math.max(0, Math.min(points.length - 1, number));
    bars.forEach((bar, at) => bar.classList.toggle("chosen", at === chosen));
    mark.setAttribute("x", (chosen * step).toFixed(2));
    mark.setAttribute("visibility", "visible");
    told.replaceChildren(...[points[chosen].told].flat());
  };
  const moves = { ArrowRight: () => chosen + 1, ArrowLeft: () => (chosen < 0 ? points.length : chosen) - 1, Home: () => 0,
    End: () => points.length - 1 };
  frame.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]());
  });
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    choose(Math.floor(((event.clientX - box.left) / box.width) * points.length));
  };
  frame.addEventListener("pointermove", at);
  frame.addEventListener("pointerdown", at);
  return h("div", {}, told, frame);
}

/** A line of recent numbers, for the eye only: what it shows stands beside it in words. */
export function spark(numbers, longest) {
  const length = Math.min(Math.max(numbers.length, SPARK_MIN), longest);
  const most = Math.max(...numbers, 1);
  const x = (at) => (200 * (at + length - numbers.length)) / (length - 1);
  const places = numbers.map((one, at) => `${x(at).toFixed(1)},${(44 - (40 * one) / most).toFixed(1)}`);
  const first = numbers.length ? x(0).toFixed(1) : "0";
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 200 46", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    svg("polygon", { class: "under", points: places.length ? `${first},46 ${places.join(" ")} 200,46` : "" }),
    svg("polyline", { class: "over", points: places.join(" ") }),
  );
}
