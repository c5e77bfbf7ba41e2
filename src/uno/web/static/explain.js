/** Why packets from A do, or do not, arrive at B. */

import { h } from "./dom.js";
import { Refusal, get } from "./api.js";
import { age, ms, percent } from "./format.js";
import { LINK, capital, heading, icon, panel, prose, shape, state } from "./parts.js";

const ui = { from: "", to: "", answer: null, error: null, busy: false };

export const needs = () => ["particles"];

export function view({ summary, doc, query, redraw }) {
  ui.from ||= query.get("from") ?? "";
  ui.to ||= query.get("to") ?? "";
  const particles = doc("particles").data?.particles ?? [];
  const names = [
    ...summary.cells.map((cell) => [cell.name, "cell"]),
    ...summary.lans.map((lan) => [lan.network, "LAN"]),
    ...particles.filter((one) => !one.banned).map((one) => [one.name, "particle"]),
  ];
  const field = (label, key) =>
    h(
      "label",
      {},
      label,
      h("input", {
        name: key,
        list: "places",
        required: true,
        autocomplete: "off",
        spellcheck: "false",
        value: ui[key],
        placeholder: "cell, LAN, address or particle",
        oninput: (event) => (ui[key] = event.target.value),
      }),
    );
  const ask = async (event) => {
    event?.preventDefault();
    Object.assign(ui, { busy: true, error: null });
    redraw();
    try {
      ui.answer = await get(
        `explain?from=${encodeURIComponent(ui.from.trim())}&to=${encodeURIComponent(ui.to.trim())}`,
      );
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      Object.assign(ui, { error, answer: null });
    } finally {
      ui.busy = false;
      redraw();
    }
  };
  return [
    heading(
      "Explain a path",
      "The way between two places, hop by hop in both directions, and the first cause where it does not work.",
    ),
    h(
      "form",
      { class: "explain-form", onsubmit: ask },
      field("From", "from"),
      h(
        "button",
        {
          type: "button",
          class: "icon-button",
          "aria-label": "Swap",
          onclick: () => {
            [ui.from, ui.to] = [ui.to, ui.from];
            redraw();
          },
        },
        icon("i-swap"),
      ),
      field("To", "to"),
      h("button", { class: "primary", disabled: ui.busy }, ui.busy ? "Asking…" : "Explain"),
      h(
        "datalist",
        { id: "places" },
        names.map(([name, kind]) => h("option", { key: `${kind} ${name}`, value: name }, kind)),
      ),
    ),
    h("div", { "aria-live": "polite" }, result()),
  ];
}

const VERDICT = (reaches) =>
  reaches == null
    ? ["off", "It is not known whether they reach each other"]
    : reaches
      ? ["ok", "They reach each other"]
      : ["bad", "They do not reach each other"];

function result() {
  if (ui.error)
    return h(
      "div",
      { class: "empty" },
      shape("warn", "big"),
      h("p", { class: "empty-title" }, ui.error.message),
      ui.error.hint && h("p", {}, prose(ui.error.hint)),
    );
  if (!ui.answer) return null;
  const { forth, back } = ui.answer;
  const both = [forth.reaches, back.reaches];
  const reaches = both.includes(false) ? false : both.includes(null) ? null : true;
  const [kind, verdict] = VERDICT(reaches);
  return [
    h("p", { class: `verdict t-${kind}` }, shape(kind, "title-mark"), verdict),
    h(
      "div",
      { class: "columns" },
      [forth, back].map((way, i) =>
        panel(`${way.source} → ${way.target}`, { id: `way-${i}` }, direction(way)),
      ),
    ),
  ];
}

/** What is wrong, after where it is; some causes begin with that themselves. */
function named({ where, what }) {
  const given = what.startsWith(`${where}: `);
  return [h("b", {}, where), ": ", prose(given ? what.slice(where.length + 2) : what)];
}

function direction(way) {
  const stops = way.used.length ? way.used : way.planned;
  return [
    way.cause &&
      h(
        "div",
        { class: "cause t-bad inset" },
        shape("bad"),
        h(
          "div",
          {},
          h("p", { class: "what" }, named(way.cause)),
          h("p", { class: "remedy" }, prose(capital(way.cause.remedy, new Set()))),
        ),
      ),
    stops.length === 0 && h("p", { class: "dim pad" }, "No path is known."),
    !way.used.length &&
      way.planned.length > 0 &&
      h("p", { class: "dim pad" }, "As planned: no links that are known to be up lead there."),
    h(
      "ol",
      { class: "path" },
      stops.map((stop, i) => [
        h("li", { class: "stop", key: `stop-${i}` }, stop),
        i < way.hops.length && hop(way.hops[i], i),
      ]),
    ),
    way.remarks.length > 0 &&
      h(
        "ul",
        { class: "remarks" },
        way.remarks.map((one) => h("li", { key: one }, shape("info"), h("span", {}, prose(one)))),
      ),
  ];
}

function hop(one, i) {
  const measures = [
    one.rtt != null && ms(one.rtt),
    one.loss != null && `${percent(one.loss)} loss`,
    one.mtu != null && `MTU ${one.mtu}`,
    one.bgp && `BGP ${one.bgp}`,
    one.bfd && `BFD ${one.bfd}`,
    one.handshake != null && `handshake ${age(one.handshake)} ago`,
  ].filter(Boolean);
  return h(
    "li",
    { class: `hop t-${LINK[one.state][0]}`, key: `hop-${i}` },
    state(LINK[one.state]),
    h("span", { class: "dim small" }, measures.join(" · ")),
  );
}
