/** Reachability: a table for few cells, a drawing with a cursor for many. */

import { h } from "./dom.js";
import { ms, plural } from "./format.js";
import { empty, heading, link, panel, state, table } from "./parts.js";

const NO_ANSWER = -1;
const NOT_KNOWN = -2;
const REACHED = -3;
/** In a UVN of more cells than this, not all that is measured is advertised. */
const ADVERTISED = 33;
/** Up to so many cells each pair has a field with a number. */
const TABLE = 24;
const ui = { what: "rtt", row: 0, column: 0 };

export const needs = () => ["matrix"];

export function view({ doc, waiting, redraw, cells }) {
  const document = doc("matrix");
  const all = "Each row probes each column through the backbone.";
  if (!document.data) return [heading("Reachability", all), waiting(document)];
  const matrix = document.data;
  const lead =
    matrix.cells.length > ADVERTISED
      ? `${all} At this size times are known between neighbours, and where packets are lost.`
      : all;
  const choices = h(
    "div",
    { class: "chips", role: "group", "aria-label": "Value" },
    [
      ["rtt", "Round trip"],
      ["loss", "Loss"],
    ].map(([what, word]) =>
      h(
        "button",
        {
          type: "button",
          class: "chip",
          key: what,
          "aria-pressed": String(ui.what === what),
          onclick: () => {
            ui.what = what;
            redraw();
          },
        },
        word,
      ),
    ),
  );
  if (matrix.cells.length < 2)
    return [
      heading("Reachability", lead),
      empty("Nothing to compare", "A UVN with one cell reaches itself.", "off"),
    ];
  return [
    heading("Reachability", lead, choices),
    panel(
      ui.what === "rtt" ? "Round trips" : "Loss",
      { tight: true, id: "matrix", note: ui.what === "rtt" ? "in ms" : "in percent" },
      matrix.cells.length <= TABLE ? grid(matrix) : drawing(matrix, redraw),
    ),
    gaps(matrix, cells),
  ];
}

function value(matrix, row, column) {
  const rtt = matrix.rtt[row][column];
  if (ui.what === "rtt" || rtt === NO_ANSWER || rtt === NOT_KNOWN) return rtt;
  const loss = matrix.loss[row][column];
  return loss === NOT_KNOWN ? REACHED : loss;
}

/** How dark a field is, from 0 to 5. */
function depth(number) {
  const steps = ui.what === "rtt" ? [100, 300, 700, 1500, 3000] : [1, 3, 10, 30, 60];
  return steps.filter((step) => number >= step).length;
}

function words(number) {
  if (number === NO_ANSWER) return "no answer";
  if (number === NOT_KNOWN) return "not known";
  if (number === REACHED) return "reached";
  return ui.what === "rtt" ? ms(number / 10) : `${number} %`;
}

function short(number) {
  if (number === NO_ANSWER) return "✕";
  if (number === NOT_KNOWN) return "?";
  if (number === REACHED) return "✓";
  if (ui.what === "loss") return String(number);
  return number < 100 ? (number / 10).toFixed(1) : String(Math.round(number / 10));
}

function grid(matrix) {
  return h(
    "div",
    { class: "scroll", role: "group", "aria-label": "Reachability", tabindex: "0" },
    h(
      "table",
      { class: "matrix" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "From \\ to"),
          matrix.names.map((name, j) =>
            h("th", { scope: "col", key: matrix.cells[j], class: "num" }, name),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        matrix.cells.map((id, i) =>
          h(
            "tr",
            { key: id },
            h("th", { scope: "row" }, link(`#/cells/${id}`, matrix.names[i])),
            matrix.cells.map((other, j) => {
              if (i === j)
                return h("td", { key: other, class: "self" }, h("span", { class: "sr" }, "itself"));
              const number = value(matrix, i, j);
              const tone =
                number === NO_ANSWER
                  ? "none"
                  : number === NOT_KNOWN
                    ? "unknown"
                    : number === REACHED
                      ? "reached"
                      : `depth-${depth(number)}`;
              return h(
                "td",
                {
                  key: other,
                  class: `num ${tone}`,
                  title: `${matrix.names[i]} to ${matrix.names[j]}: ${words(number)}`,
                },
                number < 0
                  ? [
                      h("span", { "aria-hidden": "true" }, short(number)),
                      h("span", { class: "sr" }, words(number)),
                    ]
                  : short(number),
              );
            }),
          ),
        ),
      ),
    ),
  );
}

/** A field a pixel at least, with a cursor that the pointer and arrow keys move. */
function drawing(matrix, redraw) {
  const n = matrix.cells.length;
  const move = (row, column) => {
    const to = [Math.min(Math.max(row, 0), n - 1), Math.min(Math.max(column, 0), n - 1)];
    if (to[0] === ui.row && to[1] === ui.column) return;
    [ui.row, ui.column] = to;
    redraw();
  };
  ui.row = Math.min(ui.row, n - 1);
  ui.column = Math.min(ui.column, n - 1);
  const [row, column] = [ui.row, ui.column];
  const said =
    row === column
      ? `${matrix.names[row]} itself`
      : `${matrix.names[row]} to ${matrix.names[column]}: ${words(value(matrix, row, column))}`;
  const keys = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    PageUp: [-10, 0],
    PageDown: [10, 0],
    Home: [0, -n],
    End: [0, n],
  };
  return h(
    "div",
    { class: "heat" },
    h("p", { class: "heat-said" }, said),
    h(
      "div",
      {
        class: "heat-room",
        tabindex: "0",
        role: "slider",
        "aria-label": "Pair of cells; arrow keys move",
        "aria-valuemin": "0",
        "aria-valuemax": String(n * n - 1),
        "aria-valuenow": String(row * n + column),
        "aria-valuetext": said,
        vars: { "--row": String((row + 0.5) / n), "--column": String((column + 0.5) / n) },
        onkeydown: (event) => {
          const step = keys[event.key];
          if (!step) return;
          event.preventDefault();
          move(ui.row + step[0], ui.column + step[1]);
        },
        onpointermove: (event) => {
          const box = event.currentTarget.getBoundingClientRect();
          move(
            Math.floor(((event.clientY - box.top) / box.height) * n),
            Math.floor(((event.clientX - box.left) / box.width) * n),
          );
        },
      },
      h("canvas", {
        "aria-hidden": "true",
        mount: (node) => themed(node, matrix),
        update: (node) => paint(node, matrix),
      }),
      h("span", { class: "cross row", "aria-hidden": "true" }),
      h("span", { class: "cross column", "aria-hidden": "true" }),
    ),
    h(
      "p",
      { class: "map-caption legend", "aria-hidden": "true" },
      [0, 1, 2, 3, 4, 5].map((i) =>
        h("span", { key: i }, h("i", { class: `swatch depth-${i}` }), scale(i)),
      ),
      h("span", {}, h("i", { class: "swatch reached" }), "reached"),
      h("span", {}, h("i", { class: "swatch none" }), "no answer"),
      h("span", {}, h("i", { class: "swatch unknown" }), "not known"),
    ),
  );
}

function scale(i) {
  const names =
    ui.what === "rtt"
      ? ["< 10 ms", "< 30", "< 70", "< 150", "< 300", "more"]
      : ["0 %", "< 3", "< 10", "< 30", "< 60", "more"];
  return names[i];
}

function themed(node) {
  const again = () => {
    node.painted = null;
    node.repaint?.();
  };
  addEventListener("themechange", again);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", again);
  return () => {
    removeEventListener("themechange", again);
    media.removeEventListener("change", again);
  };
}

function paint(node, matrix) {
  node.repaint = () => paint(node, matrix);
  if (node.painted === matrix && node.paintedWhat === ui.what) return;
  node.painted = matrix;
  node.paintedWhat = ui.what;
  const n = matrix.cells.length;
  node.width = n;
  node.height = n;
  const context = node.getContext("2d");
  const image = context.createImageData(n, n);
  const colours = palette(node.parentNode.parentNode);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      const number = value(matrix, i, j);
      const rgb =
        i === j
          ? colours.self
          : number === NO_ANSWER
            ? colours.none
            : number === NOT_KNOWN
              ? colours.unknown
              : number === REACHED
                ? colours.reached
                : colours[depth(number)];
      image.data.set(rgb, 4 * (i * n + j));
    }
  }
  context.putImageData(image, 0, 0);
}

/** The colours of the legend, as octets. */
function palette(root) {
  const probe = document.createElement("i");
  probe.hidden = true;
  root.append(probe);
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = getComputedStyle(probe).color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const colours = Object.fromEntries([0, 1, 2, 3, 4, 5].map((i) => [i, read(`depth-${i}`)]));
  for (const [key, name] of [
    ["none", "bad"],
    ["unknown", "heat-unknown"],
    ["reached", "heat-reached"],
    ["self", "raised"],
  ])
    colours[key] = read(name);
  probe.remove();
  return colours;
}

/** What is missing, as a list: pairs without an answer by row, and LANs that a cell does not reach. */
function gaps(matrix, cells) {
  const rows = matrix.cells
    .map((id, i) => ({
      id,
      name: matrix.names[i],
      silent: matrix.names.filter((_, j) => j !== i && matrix.rtt[i][j] === NO_ANSWER),
      unknown: matrix.rtt[i].filter((x, j) => j !== i && x === NOT_KNOWN).length,
      lans: matrix.unreached[i] ?? [],
    }))
    .filter((row) => row.silent.length || row.unknown || row.lans.length);
  if (rows.length === 0)
    return panel(
      "What is missing",
      { id: "gaps" },
      empty("Nothing is missing", "Every cell reaches every other, and every LAN."),
    );
  const some = (names) =>
    names.length > 4
      ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more`
      : names.join(", ");
  return panel(
    "What is missing",
    { id: "gaps", note: `${plural(rows.length, "cell")}` },
    table(
      "What is missing",
      [
        {
          title: "From",
          head: true,
          cell: (row) => (cells.has(row.id) ? link(`#/cells/${row.id}`, row.name) : row.name),
        },
        {
          title: "No answer from",
          wrap: true,
          cell: (row) =>
            row.silent.length
              ? state(["bad", some(row.silent)])
              : row.unknown
                ? state(["off", `${plural(row.unknown, "cell")} not known`])
                : "–",
        },
        { title: "LANs not reached", wrap: true, cell: (row) => some(row.lans) || "–" },
      ],
      rows,
      { key: (row) => row.id },
    ),
  );
}
