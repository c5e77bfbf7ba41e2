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
let limit = PAGE;

const path = () => `events?limit=${limit}`;

export const needs = () => [path()];

export function view({ summary, doc, waiting, cells, redraw }) {
  const document = doc(path());
  const lead = "What this node has observed, of the last 30 days.";
  if (!document.data) return [heading("Events", lead), waiting(document)];
  const all = document.data.events;
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
        limit *= 2;
        redraw();
      },
    },
    "Show older ones",
  );
  if (all.length === 0)
    return [
      heading("Events", lead),
      empty("Nothing has happened", "Since the agent started, all has stayed as it was."),
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
    document.data.more && older,
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
