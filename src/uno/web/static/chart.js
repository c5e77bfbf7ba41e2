/** Charts of a link: round trips, loss and traffic of a day, on one cursor. */

import { h } from "./dom.js";
import { ms, percent, rate } from "./format.js";
import { panel } from "./parts.js";

/** Spans in seconds, and their names. */
const SPANS = [
  [3600, "1 h"],
  [21600, "6 h"],
  [86400, "24 h"],
];
const ui = { span: 86400 };
const HEIGHT = 132;
let library = null;

const path = (name) => `series/${name}?span=${ui.span}`;

export const charts = {
  needs: (name) => [path(name)],

  view(name, from, doc, redraw) {
    const document = doc(path(name));
    const spans = h(
      "div",
      { class: "chips", role: "group", "aria-label": "Span" },
      SPANS.map(([span, word]) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            key: span,
            "aria-pressed": String(ui.span === span),
            onclick: () => {
              ui.span = span;
              redraw();
            },
          },
          word,
        ),
      ),
    );
    return panel("History", { id: "history", note: spans }, body(name, from, document));
  },
};

function body(name, from, document) {
  if (!document.data) {
    return document.error
      ? h("p", { class: "dim pad" }, document.error.message)
      : h(
          "div",
          { class: "charts" },
          [0, 1, 2].map((i) => h("div", { class: "chart-room", key: `room-${i}` })),
        );
  }
  const series = document.data;
  const known = series.rtt.some((x) => x != null) || series.receive_rate.some((x) => x != null);
  if (!known)
    return h(
      "p",
      { class: "dim pad" },
      "No measurements yet. They begin when the agent starts, one a minute.",
    );
  return h(
    "div",
    { class: "charts" },
    chart(name, series, document, "Round trip", [["RTT", series.rtt, "rtt"]], ms),
    chart(name, series, document, "Loss", [["Loss", series.loss, "loss"]], percent),
    chart(
      name,
      series,
      document,
      `Traffic at ${from}`,
      [
        ["In", series.receive_rate, "in"],
        ["Out", series.send_rate, "out"],
      ],
      rate,
    ),
  );
}

function chart(name, series, document, title, lines, words) {
  return h(
    "figure",
    { class: "chart", key: `${name} ${title} ${series.step}` },
    h(
      "figcaption",
      {},
      h("span", { class: "chart-title" }, title),
      lines.map(([label, values, tone]) =>
        h(
          "span",
          { class: `chart-now tone-${tone}`, key: label },
          lines.length > 1 && h("small", {}, label),
          digest(values, words),
        ),
      ),
    ),
    h("div", {
      class: "chart-room",
      "aria-hidden": "true",
      mount: (node) => mount(node, () => data(series, document, lines), lines, words),
      update: (node) => node.show?.(data(series, document, lines)),
    }),
  );
}

/** The newest value, and the greatest: what the drawing shows, in words. */
function digest(values, words) {
  const known = values.filter((x) => x != null);
  if (known.length === 0) return "not measured";
  return `${words(values.at(-1))} now, ${words(Math.max(...known))} at most`;
}

function data(series, document, lines) {
  const newest = (Date.now() - (performance.now() - document.made)) / 1000 - series.age;
  const length = lines[0][1].length;
  return [
    Array.from({ length }, (_, i) => Math.round(newest - (length - 1 - i) * series.step)),
    ...lines.map(([, values]) => values),
  ];
}

/** The library is fetched when the first chart is: other views do without it. */
function mount(node, first, lines, words) {
  let plot = null;
  let gone = false;
  let latest = first();
  node.show = (next) => {
    latest = next;
    plot?.setData(next);
  };
  const observer = new ResizeObserver(() =>
    plot?.setSize({ width: node.clientWidth, height: HEIGHT }),
  );
  const restyle = () => plot?.redraw(false);
  library ??= import("./vendor/uplot.js");
  library.then(({ default: Plot }) => {
    if (gone) return;
    plot = new Plot(options(node, lines, words), latest, node);
    observer.observe(node);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
  addEventListener("themechange", restyle);
  return () => {
    gone = true;
    observer.disconnect();
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", restyle);
    removeEventListener("themechange", restyle);
    plot?.destroy();
  };
}

function options(node, lines, words) {
  const ink = () => colourOf(node, "--dim");
  // A chart of nothing but losses of nothing is not one of noise.
  const least = lines[0][2] === "loss" ? 0.04 : 1;
  const grid = { stroke: () => colourOf(node, "--line"), width: 1 };
  const font = "11px Inter, system-ui, sans-serif";
  return {
    width: node.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: "link" }, y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, least) * 1.15] } },
    series: [
      {},
      ...lines.map(([label, , tone], i) => ({
        label,
        width: 1.5,
        spanGaps: false,
        points: { show: false },
        stroke: () => colourOf(node, `--tone-${tone}`),
        fill:
          i === 0 && lines.length === 1 ? () => colourOf(node, `--tone-${tone}-soft`) : undefined,
      })),
    ],
    axes: [
      {
        stroke: ink,
        grid: { show: false },
        ticks: { show: false },
        font,
        size: 26,
        gap: 6,
        space: 70,
        values: (_, splits) =>
          splits.map((s) =>
            new Date(s * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }),
          ),
      },
      {
        stroke: ink,
        grid,
        ticks: { show: false },
        font,
        size: 62,
        gap: 8,
        space: 34,
        values: (_, splits) => splits.map((s) => words(s).replace(".0 ", " ")),
      },
    ],
  };
}

/** The value of a colour as the canvas needs it: `light-dark()` is resolved by a probe. */
function colourOf(node, name) {
  let probe = node.parentNode.querySelector(".probe");
  if (!probe) {
    probe = document.createElement("i");
    probe.className = "probe";
    probe.hidden = true;
    node.parentNode.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
