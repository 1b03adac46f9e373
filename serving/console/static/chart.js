// The curves, drawn by plotly (served out of its package), and the line that marks the moment.

import { byId, el, likesMotion } from "./dom.js";
import { DAY } from "./format.js";
import { points } from "./curves.js";
import { colours, ink } from "./palette.js";

const MARGIN = { l: 40, r: 14, t: 22, b: 30 }; // as in chart.css
const PAST = 0.22; // share of the axis before now
const LEAST_TOP = 0.1;
const GLIDE_MS = 450;
const CONFIG = { staticPlot: true, displayModeBar: false, responsive: true };

let library = null;
let drawn = null; // what stands there: { curves: Map, top, view }
let frame = 0;
let inks = null; // colours of the theme, read once a drawing

/** Fetch plotly, once; 4.8 MB, so never before the page stands. */
export function load() {
  library ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "console/plotly.min.js" });
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => {
      library = null;
      reject(new Error("The chart library did not load"));
    });
    document.head.append(script);
  });
  return library;
}

const range = ({ now, horizon }) => [now - (horizon * PAST) / (1 - PAST), now + horizon];

/** Draw a view: `{ now, horizon, shown: [{ curve, slot }] }`, gliding from the one before. */
export async function draw(view, { glides = false } = {}) {
  const plotly = await load();
  cancelAnimationFrame(frame);
  inks = { ...Object.fromEntries(["quiet", "line", "past", "surface"].map((name) => [name, ink(name)])), curves: [] };
  for (const { slot } of view.shown) inks.curves[slot] = colours(slot);
  const before = drawn;
  const top = Math.max(LEAST_TOP, ...view.shown.map(({ curve }) => highest(curve, view)));
  drawn = { view, top, curves: new Map(view.shown.map(({ curve }) => [curve.node, curve])) };
  if (!glides || !likesMotion() || before === null) return put(plotly, view, top, null, 1);
  const start = performance.now();
  const step = () => {
    const done = Math.min(1, (performance.now() - start) / GLIDE_MS);
    put(plotly, view, before.top + (top - before.top) * ease(done), before.curves, ease(done));
    if (done < 1) frame = requestAnimationFrame(step);
  };
  return step();
}

/** The same again, in the colours of the theme. */
export const redraw = () => (drawn === null ? null : draw(drawn.view));

const ease = (x) => 1 - (1 - x) ** 3;

function highest(curve, view) {
  const [from, to] = range(view);
  return 1.12 * Math.max(...points(curve, from, to).weight);
}

function put(plotly, view, top, was, done) {
  const traces = view.shown.flatMap(({ curve, slot }) => lines(curve, slot, view, was?.get(curve.node), done));
  return plotly.react(byId("plot"), traces, layout(view, top), CONFIG);
}

function lines(curve, slot, view, was, done) {
  const [from, to] = range(view);
  const { t, weight } = points(curve, from, to);
  const old = (x) => (was === undefined ? 0 : was.at(x));
  const y = weight.map((w, i) => (done === 1 ? w : done * w + (1 - done) * old(t[i])));
  const events = curve.jumps.filter((x) => x >= from);
  const common = { type: "scatter", hoverinfo: "skip", showlegend: false };
  const x = t.map((s) => s * 1000);
  const { line, veil } = inks.curves[slot];
  return [
    { ...common, x, y, mode: "lines", line: { color: line, width: 2.25, simplify: false }, fill: "tozeroy", fillcolor: veil },
    { ...common, x: events.map((s) => s * 1000), y: events.map(curve.at), mode: "markers", marker: { color: line, size: 6, line: { color: inks.surface, width: 1.5 } } },
  ];
}

function layout(view, top) {
  const [from, to] = range(view);
  const now = view.now * 1000;
  const quiet = { color: inks.quiet, size: 11.5 };
  const axis = { fixedrange: true, zeroline: false, tickfont: quiet, gridcolor: inks.line, linecolor: inks.line };
  return {
    margin: MARGIN,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily },
    xaxis: { ...axis, type: "date", range: [from * 1000, to * 1000], showgrid: false, nticks: byId("plot").clientWidth < 480 ? 4 : 7, tickformat: view.horizon > 400 * DAY ? "%b %Y" : "%-d %b" },
    yaxis: { ...axis, range: [0, top], nticks: 5, rangemode: "tozero" },
    shapes: [
      { type: "rect", xref: "x", yref: "paper", x0: from * 1000, x1: now, y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: inks.past },
      { type: "line", xref: "x", yref: "paper", x0: now, x1: now, y0: 0, y1: 1, line: { color: inks.quiet, width: 1, dash: "dot" } },
    ],
    annotations: [{ text: "now", x: now, yref: "paper", y: 1, xanchor: "right", yanchor: "bottom", showarrow: false, font: quiet }],
  };
}

/** Put the line of the moment at an offset from now, and the slider below the part that is to come. */
export function mark(offset, horizon) {
  const at = PAST + (1 - PAST) * (offset / horizon);
  document.documentElement.style.setProperty("--now", PAST);
  byId("cursor").style.setProperty("--at", at);
  byId("cursor").hidden = false;
}

/** Let a pointer drag the line; `act` is told the share of the axis after now, in [0, 1]. */
export function draggable(act) {
  const chart = byId("chart");
  const share = (event) => {
    const box = byId("plot").getBoundingClientRect();
    const x = (event.clientX - box.left - MARGIN.l) / (box.width - MARGIN.l - MARGIN.r);
    return Math.min(1, Math.max(0, (x - PAST) / (1 - PAST)));
  };
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    chart.setPointerCapture(event.pointerId);
    act(share(event));
  });
  chart.addEventListener("pointermove", (event) => {
    if (chart.hasPointerCapture(event.pointerId)) act(share(event));
  });
}
