/** What has happened, newest first, by day. */

import { h } from "./dom.js";
import { dayOf, matches, timeOfDay } from "./format.js";
import {
  SEVERITY,
  empty,
  eventMark,
  filterBar,
  filterOf,
  heading,
  link,
  linkTitle,
  shape,
} from "./parts.js";

const PAGE = 200;
/** The most events that the server gives at once. */
const MOST = 500;
/** The pages shown, each by the number that its events are below; the first has the newest. */
const pages = [0];

/** The first page overlaps the second, so that events that come leave no gap between them. */
function path(before) {
  if (before) return `events?limit=${PAGE}&before=${before}`;
  return `events?limit=${pages.length > 1 ? MOST : PAGE}`;
}

export const needs = () => pages.map(path);

export function view({ summary, doc, waiting, cells, redraw }) {
  const documents = pages.map((before) => doc(path(before)));
  const lead = "What this node has observed, of the last 30 days.";
  const first = documents[0];
  if (!first.data) return [heading("Events", lead), waiting(first)];
  const lowest = ({ data }) => data?.events.at(-1)?.number ?? Infinity;
  const last = documents.reduce((a, b) => (lowest(b) < lowest(a) ? b : a));
  const known = new Map();
  for (const { data } of documents)
    for (const each of data?.events ?? []) known.set(each.number, each);
  const all = [...known.values()].sort((a, b) => b.number - a.number);
  const filter = filterOf("events");
  const rows = all.filter(
    (event) =>
      (!filter.only || event.severity === filter.only) &&
      (!filter.text || matches(filter.text, event.text)),
  );
  const days = new Map();
  for (const event of rows) {
    const day = dayOf(event.time);
    if (!days.has(day)) days.set(day, []);
    days.get(day).push(event);
  }
  const older = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        pages.push(all.at(-1).number);
        redraw();
      },
    },
    "Show older ones",
  );
  if (all.length === 0)
    return [
      heading("Events", lead),
      empty("Nothing is recorded yet", "What is lost and found, and what changes, is listed here.", "off"),
    ];
  return [
    heading("Events", lead),
    filterBar("events", {
      rows: all,
      stateOf: (event) => event.severity,
      words: SEVERITY,
      what: "events",
      shown: rows.length,
      redraw,
    }),
    rows.length === 0 &&
      empty("No event matches", "Change the search, or choose another severity.", "off"),
    [...days].map(([day, events]) =>
      h(
        "section",
        { class: "panel", key: day, "aria-label": day },
        h("div", { class: "panel-head" }, h("h2", {}, day)),
        h(
          "ol",
          { class: "events" },
          events.map((event) =>
            h(
              "li",
              { key: event.number },
              h(
                "time",
                { datetime: new Date(event.time * 1000).toISOString() },
                timeOfDay(event.time),
                !event.clock_trusted && h("span", { class: "sr" }, " by a clock that was not set"),
              ),
              shape(eventMark(event)),
              h("span", { class: "sr" }, `${SEVERITY[event.severity][1]}: `),
              h("p", {}, sentence(event, cells, summary.links)),
            ),
          ),
        ),
      ),
    ),
    last.data?.more && older,
  ];
}

/** The text of an event, in which the name of what it is about leads there. */
export function sentence(event, cells, links) {
  const one = event.links.length === 1 && links.find((each) => each.name === event.links[0]);
  if (one) return linked(event.text, linkTitle(cells, one), `#/links/${one.name}`) ?? event.text;
  for (const id of event.cells) {
    const found = cells.has(id) && linked(event.text, cells.get(id).name, `#/cells/${id}`);
    if (found) return found;
  }
  return event.text;
}

function linked(text, name, href) {
  const at = text.indexOf(name);
  return at < 0 ? null : [text.slice(0, at), link(href, name), text.slice(at + name.length)];
}
