/** What is wrong and what to do, figures, the map, and what has happened. */

import { h } from "./dom.js";
import { count, octets, plural, rate, timeOfDay, dayOf } from "./format.js";
import { map } from "./map.js";
import {
  CELL,
  capital,
  LAN,
  LINK,
  SEVERITY,
  eventMark,
  icon,
  link,
  linkTitle,
  meter,
  panel,
  prose,
  shape,
  tally,
} from "./parts.js";

/** More causes than these are folded, so that the map stays in reach. */
const CAUSES = 6;
let unfolded = false;

export const needs = () => ["events?limit=8"];

export function view({ summary, cells, names, doc, redraw }) {
  return [
    hero(summary, cells, names),
    causes(summary, cells, names, redraw),
    figures(summary),
    h(
      "div",
      { class: "overview" },
      panel(
        "Map",
        { tight: true, note: link("#/cells", "All cells") },
        summary.cells.length ? map(summary, cells, redraw) : noCells(),
      ),
      panel(
        "Latest events",
        { note: link("#/events", "All events") },
        latest(doc("events?limit=8")),
      ),
    ),
  ];
}

function hero(summary, cells, names) {
  const kind = summary.severity ? SEVERITY[summary.severity][0] : "ok";
  const from = summary.viewer
    ? (cells.get(summary.viewer)?.name ?? `cell ${summary.viewer}`)
    : "the registry";
  const parts = [
    `generation ${summary.generation}`,
    // Of cells of which nothing was ever received it is not known.
    ...(summary.cells.some((cell) => cell.health !== "never")
      ? [
          summary.consistent ? "consistent" : "not consistent",
          summary.routed ? "routed" : "not routed",
        ]
      : []),
    `seen from ${from}`,
  ];
  return h(
    "header",
    { class: `hero t-${kind}` },
    shape(kind, "hero-mark"),
    h(
      "div",
      {},
      h("h1", { tabindex: "-1", id: "headline" }, capital(summary.headline, names)),
      h("p", { class: "lead" }, parts.join(" · ")),
      summary.rollout && h("p", { class: "lead" }, shape("part"), summary.rollout),
    ),
  );
}

function causes(summary, cells, names, redraw) {
  const alerts = summary.alerts;
  if (alerts.length === 0) return null;
  const shown = unfolded ? alerts : alerts.slice(0, CAUSES);
  return h(
    "section",
    { class: "causes", "aria-label": "What is wrong" },
    h(
      "ul",
      {},
      shown.map((alert) => cause(alert, summary, cells, names)),
    ),
    alerts.length > CAUSES &&
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          "aria-expanded": String(unfolded),
          onclick: () => {
            unfolded = !unfolded;
            redraw();
          },
        },
        unfolded ? "Show fewer" : `Show ${alerts.length - CAUSES} more`,
      ),
  );
}

function cause(alert, summary, cells, names) {
  const [kind, word] = SEVERITY[alert.severity];
  return h(
    "li",
    { key: alert.id, class: `cause t-${kind}` },
    shape(kind),
    h("span", { class: "sr" }, `${word}: `),
    h(
      "div",
      {},
      // The headline is the worst cause: it is not said twice.
      (alert.what !== summary.headline || !alert.remedy) &&
        h("p", { class: "what" }, prose(capital(alert.what, names))),
      alert.remedy && h("p", { class: "remedy" }, prose(capital(alert.remedy, names))),
      alert.consequences > 0 &&
        h(
          "p",
          { class: "dim small" },
          `${plural(alert.consequences, "other fault")} ${alert.consequences === 1 ? "follows" : "follow"} from it`,
        ),
    ),
    target(alert, summary, cells),
  );
}

/** Where to read more about a cause: the link or the cell if it is about one of them. */
function target(alert, summary, cells) {
  const one =
    alert.links.length === 1 && summary.links.find((each) => each.name === alert.links[0]);
  if (one) return go(`#/links/${one.name}`, linkTitle(cells, one));
  if (alert.cells.length === 1 && cells.has(alert.cells[0]))
    return go(`#/cells/${alert.cells[0]}`, cells.get(alert.cells[0]).name);
  if (["generation-undone", "not-released", "rollout", "cell-behind"].includes(alert.kind))
    return go("#/change", "Change");
  return null;
}

function go(href, words) {
  return h("a", { class: "go", href }, words, icon("i-next"));
}

function figures(summary) {
  const { totals, cells, links, lans } = summary;
  return h(
    "ul",
    { class: "figures", "aria-label": "Figures" },
    figure(
      "#/cells",
      "Cells OK",
      totals.cells_ok,
      totals.cells,
      meter(tally(cells, (one) => one.health, CELL)),
    ),
    figure(
      "#/links",
      "Links up",
      totals.links_up,
      totals.links,
      meter(tally(links, (one) => one.health, LINK)),
    ),
    figure(
      "#/lans",
      "LANs reached",
      totals.lans_reached,
      totals.lans,
      meter(tally(lans, (one) => one.health, LAN)),
    ),
    figure(
      "#/particles",
      "Particles online",
      totals.particles_online,
      totals.particles,
      meter([
        ["ok", totals.particles_online],
        ["none", totals.particles - totals.particles_online],
      ]),
    ),
    // The registry has no links of its own.
    summary.viewer !== 0 &&
      h(
        "li",
        { key: "traffic" },
        h(
          "div",
          { class: "figure" },
          h("span", { class: "figure-name" }, "Traffic of this cell"),
          h(
            "dl",
            { class: "figure-rates" },
            traffic("in", totals.receive_rate, totals.received),
            traffic("out", totals.send_rate, totals.sent),
          ),
        ),
      ),
  );
}

function traffic(way, speed, volume) {
  return h(
    "div",
    { key: way },
    h("dt", {}, way),
    h("dd", {}, h("b", {}, rate(speed)), h("span", { class: "dim" }, octets(volume))),
  );
}

function figure(href, name, part, whole, bar) {
  return h(
    "li",
    { key: name },
    h(
      "a",
      { class: "figure", href },
      h("span", { class: "figure-name" }, name),
      h("span", { class: "figure-number" }, count(part), h("small", {}, `of ${count(whole)}`)),
      bar,
    ),
  );
}

function latest(document) {
  if (!document.data)
    return h("div", { class: "skeleton small" }, h("div", {}), h("div", {}), h("div", {}));
  const { events } = document.data;
  if (events.length === 0)
    return h("p", { class: "dim pad" }, "Nothing is recorded yet.");
  return h(
    "ol",
    { class: "timeline" },
    events.map((event) =>
      h(
        "li",
        { key: event.number },
        shape(eventMark(event)),
        h(
          "div",
          {},
          h("p", {}, event.text),
          h(
            "p",
            { class: "dim small" },
            h(
              "time",
              { datetime: new Date(event.time * 1000).toISOString() },
              `${dayOf(event.time)}, ${timeOfDay(event.time)}`,
            ),
          ),
        ),
      ),
    ),
  );
}

function noCells() {
  return h(
    "div",
    { class: "empty" },
    shape("off", "big"),
    h("p", { class: "empty-title" }, "No cells yet"),
    h("p", {}, prose("Define one at the registry: `uno define cell`.")),
  );
}
