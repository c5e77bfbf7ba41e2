/** The parts that all views are made of. State is always a shape, a word and a colour. */

import { h } from "./dom.js";
import { NONE, matches, plural } from "./format.js";

/** The shape and tone of a state, and its word. */
export const CELL = {
  ok: ["ok", "OK"],
  behind: ["part", "behind"],
  faulty: ["warn", "degraded"],
  silent: ["bad", "no contact"],
  never: ["off", "never seen"],
};
export const LINK = {
  up: ["ok", "up"],
  degraded: ["warn", "degraded"],
  down: ["bad", "down"],
  unknown: ["off", "not known"],
};
export const LAN = {
  reached: ["ok", "reached"],
  partly: ["warn", "partly reached"],
  unreached: ["bad", "unreached"],
  detached: ["bad", "detached"],
  unknown: ["off", "not known"],
};
export const SEVERITY = {
  critical: ["bad", "critical"],
  warning: ["warn", "warning"],
  info: ["info", "note"],
};
/** An event that is no fault has a dot, so that faults stand out. */
export const eventMark = (event) =>
  event.severity === "info" ? "dot" : SEVERITY[event.severity][0];

export const ONLINE = (online) =>
  online == null ? ["off", "not known"] : online ? ["ok", "online"] : ["off", "offline"];

export function icon(name, extra = "") {
  return h(
    "svg",
    { class: `icon ${extra}`, "aria-hidden": "true" },
    h("use", { href: `#${name}` }),
  );
}

/** A state as a shape alone: decoration beside its word. A mask, which is cheaper than SVG. */
export function shape(kind, extra = "") {
  return h("i", { class: `mark t-${kind} m-${kind} ${extra}`, "aria-hidden": "true" });
}

/** A state as shape and word. */
export function state([kind, word]) {
  return h("span", { class: `state t-${kind}` }, shape(kind), word);
}

export function link(href, ...children) {
  return h("a", { href }, ...children);
}

export function cellLink(cells, id) {
  const cell = cells.get(id);
  return cell ? link(`#/cells/${id}`, cell.name) : h("span", { class: "dim" }, `cell ${id}`);
}

export function linkTitle(cells, one) {
  return `${cells.get(one.a)?.name ?? `cell ${one.a}`} – ${cells.get(one.b)?.name ?? `cell ${one.b}`}`;
}

/** Join nodes with commas. */
export function listed(nodes) {
  return nodes.flatMap((node, i) => (i ? [", ", node] : [node]));
}

/** A command of uno's at the end of a sentence or of its part: `…: uno sync`. */
const COMMAND = /((?:^|(?<=[:;,] |\bor |\bthen ))uno [a-z][^;,]*)/;

/** Text in which what stands between backticks, and a command, is code. */
export function prose(text) {
  return text.split("`").map((part, i) => {
    if (i % 2) return command(part);
    return part.split(COMMAND).map((piece, j) => (j % 2 ? command(piece) : piece));
  });
}

/** A command; a short one is in one line, which else ends after the hyphens of an option. */
function command(text) {
  return h("code", { class: text.length <= 24 ? "whole" : "" }, text);
}

/** A sentence with a capital at its beginning, unless it begins with a name or a command. */
export function capital(text, names) {
  const [first] = text.split(/[\s:,]/, 1);
  if (first === "uno" || names.has(first)) return text;
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

export function heading(title, lead, ...extra) {
  return h(
    "header",
    { class: "heading" },
    h("div", {}, h("h1", { tabindex: "-1" }, title), lead && h("p", { class: "lead" }, lead)),
    extra.length > 0 && h("div", { class: "actions" }, ...extra),
  );
}

let panels = 0;
const panelIds = new Map();

/** A titled part of a page. */
export function panel(title, { note, tight, id = title } = {}, ...children) {
  if (!panelIds.has(id)) panelIds.set(id, `panel-${(panels += 1)}`);
  const name = panelIds.get(id);
  return h(
    "section",
    { class: `panel ${tight ? "tight" : ""}`, "aria-labelledby": name, key: name },
    h(
      "div",
      { class: "panel-head" },
      h("h2", { id: name }, title),
      note && h("div", { class: "note" }, note),
    ),
    ...children,
  );
}

/** Terms and values; what is empty is left out. */
export function facts(rows) {
  return h(
    "dl",
    { class: "facts" },
    rows
      .filter(([, value]) => value != null && value !== "" && value !== false)
      .map(([term, value]) => h("div", { key: term }, h("dt", {}, term), h("dd", {}, value))),
  );
}

/**
 * A table. A column is `{title, cell(row), num, hide, head}`: `num` aligns right, `head` makes the
 * row's header of it, `hide` is from 1 to 3: left out on a phone,
 * on all but wide screens, or on all but very wide ones. With `stack`, a phone has each row as a
 * list of those columns that are not empty.
 */
export function table(label, columns, rows, { key, rowClass, stack } = {}) {
  const kind = (column) =>
    `${column.num ? "num" : ""} ${column.hide ? `hide${column.hide}` : ""} ${column.wrap ? "wrap" : ""}`;
  return h(
    "div",
    {
      class: `scroll ${stack ? "stack" : ""}`,
      role: "group",
      "aria-label": label,
      tabindex: "0",
    },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((one) => h("th", { scope: "col", class: kind(one) }, one.title)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row, i) =>
          h(
            "tr",
            { key: key ? key(row) : i, class: rowClass?.(row) },
            columns.map((one) => {
              const value = one.cell(row);
              if (one.head) return h("th", { scope: "row", class: kind(one) }, value);
              if (!stack) return h("td", { class: kind(one) }, value);
              const unknown = value === NONE ? "blank" : "";
              const props = { class: `${kind(one)} ${unknown}`, "data-title": one.title };
              return h("td", props, h("div", {}, value));
            }),
          ),
        ),
      ),
    ),
  );
}

export function empty(title, text, kind = "ok") {
  return h(
    "div",
    { class: "empty" },
    shape(kind, "big"),
    h("p", { class: "empty-title" }, title),
    text && h("p", {}, text),
  );
}

/** What stands in the place of a document that is under way, or cannot be had. */
export function waiting(document, redo) {
  if (document.error) {
    return h(
      "div",
      { class: "empty", role: "alert" },
      shape("bad", "big"),
      h("p", { class: "empty-title" }, document.error.message),
      document.error.hint && h("p", {}, prose(document.error.hint)),
      h("button", { type: "button", onclick: redo }, "Try again"),
    );
  }
  return h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "sr" }, "Loading"),
    h("div", {}),
    h("div", {}),
    h("div", {}),
    h("div", {}),
  );
}

/** Filters as they were typed, by view. */
const filters = new Map();

export function filterOf(view) {
  if (!filters.has(view)) filters.set(view, { text: "", only: "" });
  return filters.get(view);
}

/** Rows whose text has all words of the filter, and whose state is the one chosen. */
export function filtered(view, rows, textOf, stateOf) {
  const { text, only } = filterOf(view);
  return rows.filter(
    (row) => (!only || stateOf(row) === only) && (!text || matches(text, textOf(row))),
  );
}

/** A field to search in rows, and a button for each of their states, with how many there are. */
export function filterBar(view, { rows, stateOf, words, what, shown, redraw }) {
  const filter = filterOf(view);
  const counts = new Map();
  for (const row of rows) counts.set(stateOf(row), (counts.get(stateOf(row)) ?? 0) + 1);
  const choose = (only) => () => {
    filter.only = only;
    redraw();
  };
  const chip = (value, label, count) =>
    h(
      "button",
      {
        type: "button",
        class: "chip",
        key: `chip-${value}`,
        "aria-pressed": String(filter.only === value),
        onclick: choose(value),
      },
      label,
      h("span", { class: "chip-count" }, count),
    );
  return h(
    "div",
    { class: "filter" },
    h(
      "div",
      { class: "search" },
      icon("i-search"),
      h("input", {
        type: "search",
        "aria-label": `Search ${what}`,
        placeholder: `Search ${what}`,
        value: filter.text,
        oninput: (event) => {
          filter.text = event.target.value;
          redraw();
        },
      }),
    ),
    h(
      "div",
      { class: "chips", role: "group", "aria-label": "State" },
      chip("", "All", rows.length),
      Object.entries(words)
        .filter(([value]) => counts.has(value))
        .map(([value, [kind, word]]) => chip(value, [shape(kind), word], counts.get(value))),
    ),
    h(
      "p",
      { class: "sr", role: "status" },
      filter.text || filter.only ? `${plural(shown, "row")} shown` : "",
    ),
  );
}

/** A bar of shares: `[kind, number]` each. Decoration: the numbers stand beside it. */
export function meter(parts) {
  const all = parts.reduce((sum, [, n]) => sum + n, 0);
  return h(
    "div",
    { class: "meter", "aria-hidden": "true" },
    all > 0 &&
      parts
        .filter(([, n]) => n > 0)
        .map(([kind, n]) =>
          h("span", {
            class: `fill-${kind}`,
            key: kind,
            vars: { "--share": `${(100 * n) / all}%` },
          }),
        ),
  );
}

/** How many rows have each state, in the order of `words`. */
export function tally(rows, stateOf, words) {
  const counts = new Map();
  for (const row of rows) {
    const [kind] = words[stateOf(row)];
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...new Set(Object.values(words).map(([kind]) => kind))].map((kind) => [
    kind,
    counts.get(kind) ?? 0,
  ]);
}
