/** The table of links and LANs, and the page of one link. */

import { h } from "./dom.js";
import { NONE, age, count, ms, octets, percent, plural, rate } from "./format.js";
import {
  LAN,
  LINK,
  capital,
  cellLink,
  empty,
  facts,
  filterBar,
  filtered,
  heading,
  link,
  linkTitle,
  panel,
  prose,
  shape,
  state,
  table,
} from "./parts.js";
import { lanTable, worksWord } from "./cells.js";
import { charts } from "./chart.js";

export const needs = () => [];

export function view({ summary, cells, elapsed, redraw }) {
  const all = summary.links;
  const stateOf = (one) => one.health;
  const textOf = (one) => `${linkTitle(cells, one)} ${one.name} ${LINK[one.health][1]} ${one.why}`;
  const rows = filtered("links", all, textOf, stateOf);
  return [
    heading(
      "Links",
      `${count(summary.totals.links_up)} of ${plural(summary.totals.links, "link")} up`,
    ),
    filterBar("links", {
      rows: all,
      stateOf,
      words: LINK,
      what: "links",
      shown: rows.length,
      redraw,
    }),
    rows.length === 0
      ? all.length
        ? empty("No link matches", "Change the search, or choose another state.", "off")
        : empty("No links", "A UVN with one cell has none.", "off")
      : panel(
          "List of links",
          { tight: true, id: "links" },
          table(
            "Links",
            [
              {
                title: "Link",
                head: true,
                cell: (one) => link(`#/links/${one.name}`, linkTitle(cells, one)),
              },
              { title: "State", cell: (one) => state(LINK[one.health]) },
              { title: "RTT", num: true, cell: (one) => ms(one.rtt) },
              { title: "Loss", num: true, cell: (one) => percent(one.loss) },
              { title: "In", num: true, hide: 1, cell: (one) => rate(one.receive_rate) },
              { title: "Out", num: true, hide: 1, cell: (one) => rate(one.send_rate) },
              {
                title: "Handshake",
                num: true,
                hide: 1,
                cell: (one) => (one.handshake == null ? NONE : age(one.handshake + elapsed)),
              },
              { title: "MTU", num: true, hide: 2, cell: (one) => one.mtu ?? NONE },
              {
                title: "Measured",
                num: true,
                hide: 2,
                cell: (one) => (one.age == null ? NONE : age(one.age + elapsed)),
              },
              { title: "Why", wrap: true, hide: 1, cell: (one) => one.why || NONE },
            ],
            rows,
            { key: (one) => one.name },
          ),
        ),
  ];
}

export const linkNeeds = (name) => [`links/${name}`, ...charts.needs(name)];

export function linkView({ summary, cells, doc, waiting, id, redraw }) {
  const short = summary.links.find((one) => one.name === id);
  const title = short ? linkTitle(cells, short) : `Link ${id}`;
  const document = doc(`links/${id}`);
  if (!document.data) return [heading(title, short && LINK[short.health][1]), waiting(document)];
  const report = document.data;
  const one = report.link;
  const [kind, word] = LINK[one.health];
  return [
    heading([shape(kind, "title-mark"), title], [word, one.why].filter(Boolean).join(": ")),
    h(
      "ul",
      { class: "figures small", "aria-label": "Figures" },
      number("Round trip", ms(one.rtt)),
      number("Loss", percent(one.loss)),
      number("In", rate(one.receive_rate)),
      number("Out", rate(one.send_rate)),
      number("Largest packet", one.mtu == null ? NONE : `${one.mtu} B`),
    ),
    report.ends.flatMap((end) => (end.remedy || end.why ? [advice(end, cells)] : [])),
    charts.view(one.name, cells.get(one.a)?.name ?? `cell ${one.a}`, doc, redraw),
    h(
      "div",
      { class: "columns" },
      report.ends.map((end) =>
        panel(
          `At ${cells.get(end.cell)?.name ?? `cell ${end.cell}`}`,
          { id: `end-${end.cell}` },
          endFacts(end, cells),
        ),
      ),
    ),
    report.cost &&
      panel("If it fails", { id: "link-cost" }, h("p", { class: "pad" }, prose(report.cost))),
  ];
}

function number(name, value) {
  return h(
    "li",
    { key: name },
    h(
      "div",
      { class: "figure" },
      h("span", { class: "figure-name" }, name),
      h("span", { class: "figure-number" }, value),
    ),
  );
}

function advice(end, cells) {
  const names = new Set([...cells.values()].map((cell) => cell.name));
  return h(
    "section",
    { class: "causes", "aria-label": "Fault", key: `advice-${end.cell}` },
    h(
      "ul",
      {},
      h(
        "li",
        { class: "cause t-bad" },
        shape("bad"),
        h(
          "div",
          {},
          h(
            "p",
            { class: "what" },
            `${cells.get(end.cell)?.name ?? `cell ${end.cell}`}: `,
            prose(end.why),
          ),
          end.remedy && h("p", { class: "remedy" }, prose(capital(end.remedy, names))),
        ),
      ),
    ),
  );
}

function endFacts(end, cells) {
  const code = (text) => text && h("code", {}, text);
  return facts([
    ["Cell", cellLink(cells, end.cell)],
    ["State", state(worksWord(end))],
    [
      "Reported",
      end.age == null ? "never" : `${age(end.age)} ago${end.alive ? "" : ", no contact"}`,
    ],
    ["Handshake", end.handshake != null ? `${age(end.handshake)} ago` : end.age != null && "none"],
    [
      "BGP",
      end.bgp && [
        end.bgp,
        end.prefixes == null ? "" : `, ${plural(end.prefixes, "prefix", "prefixes")} received`,
        end.flaps ? `, ended ${plural(end.flaps, "time")}` : "",
      ],
    ],
    ["BFD", end.bfd],
    ["Round trip", end.rtt == null ? null : ms(end.rtt)],
    ["Loss", end.loss == null ? null : percent(end.loss)],
    ["Largest packet", end.mtu == null ? null : `${end.mtu} B`],
    [
      "Traffic",
      end.received == null ? null : `${octets(end.received)} in, ${octets(end.sent)} out`,
    ],
    ["Interface", code(end.interface)],
    ["Addresses", [code(end.address4), end.address4 && end.address6 && ", ", code(end.address6)]],
    ["Listens on", end.port == null ? "no fixed port: it dials" : `UDP ${end.port}`],
    ["Endpoint in use", code(end.endpoint)],
    [
      "Endpoint planned",
      end.planned_endpoint && end.planned_endpoint !== end.endpoint && code(end.planned_endpoint),
    ],
  ]);
}

/** The page of LANs. */
export function lansView({ summary, cells, redraw }) {
  const all = summary.lans;
  const stateOf = (lan) => lan.health;
  const textOf = (lan) =>
    `${lan.network} ${cells.get(lan.cell)?.name ?? ""} ${lan.interface} ${lan.address} ${LAN[lan.health][1]}`;
  const rows = filtered("lans", all, textOf, stateOf);
  return [
    heading(
      "LANs",
      `${count(summary.totals.lans_reached)} of ${plural(summary.totals.lans, "LAN")} reached by all`,
    ),
    filterBar("lans", { rows: all, stateOf, words: LAN, what: "LANs", shown: rows.length, redraw }),
    rows.length === 0
      ? all.length
        ? empty("No LAN matches", "Change the search, or choose another state.", "off")
        : empty("No LANs", "No cell has a LAN.", "off")
      : panel(
          "List of LANs",
          { tight: true, id: "lans" },
          lanTable(rows, cells, { withCell: true }),
        ),
  ];
}
