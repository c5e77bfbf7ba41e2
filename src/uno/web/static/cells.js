/** The table of cells, and the page of one. */

import { h } from "./dom.js";
import { NONE, age, count, ms, octets, percent, plural } from "./format.js";
import {
  CELL,
  capital,
  LAN,
  ONLINE,
  cellLink,
  empty,
  facts,
  filterBar,
  filtered,
  heading,
  link,
  listed,
  panel,
  prose,
  shape,
  state,
  table,
} from "./parts.js";
import { portTable } from "./ports.js";

export const needs = () => [];

export function view({ summary, elapsed, redraw }) {
  const all = summary.cells;
  const stateOf = (cell) => cell.health;
  const textOf = (cell) =>
    [
      cell.name,
      cell.owner,
      cell.location,
      cell.kind,
      cell.lans.join(" "),
      cell.version,
      CELL[cell.health][1],
    ].join(" ");
  const rows = filtered("cells", all, textOf, stateOf);
  const owners = all.some((cell) => cell.owner);
  return [
    heading(
      "Cells",
      `${count(summary.totals.cells_ok)} of ${plural(summary.totals.cells, "cell")} OK`,
    ),
    filterBar("cells", {
      rows: all,
      stateOf,
      words: CELL,
      what: "cells",
      shown: rows.length,
      redraw,
    }),
    rows.length === 0
      ? none(all.length)
      : panel(
          "List of cells",
          { tight: true, id: "cells" },
          table(
            "Cells",
            [
              {
                title: "Cell",
                head: true,
                cell: (c) => [
                  link(`#/cells/${c.id}`, c.name),
                  c.own && h("span", { class: "tag" }, "yours"),
                ],
              },
              { title: "State", cell: (c) => state(CELL[c.health]) },
              { title: "LANs", hide: 1, cell: (c) => c.lans.join(", ") || NONE },
              { title: "Links", num: true, cell: (c) => `${c.links_up}/${c.links}` },
              { title: "Particles", num: true, hide: 2, cell: (c) => count(c.particles_online) },
              { title: "Runs", num: true, hide: 1, cell: (c) => generation(c) },
              { title: "Seen", num: true, cell: (c) => seen(c, summary, elapsed) },
              { title: "Up", num: true, hide: 2, cell: (c) => age(c.uptime) },
              { title: "Type", hide: 3, cell: (c) => c.kind },
              owners && { title: "Owner", hide: 2, cell: (c) => c.owner || NONE },
              { title: "Location", hide: 2, cell: (c) => c.location || NONE },
              { title: "Version", hide: 3, cell: (c) => c.version || NONE },
              { title: "Page", hide: 3, cell: (c) => ownPage(c) },
            ].filter(Boolean),
            rows,
            { key: (c) => c.id },
          ),
        ),
  ];
}

function none(all) {
  return all
    ? empty("No cell matches", "Change the search, or choose another state.", "off")
    : empty("No cells yet", prose("Define one at the registry: `uno define cell`."), "off");
}

function generation(cell) {
  if (cell.generation == null) return NONE;
  return cell.package != null && cell.package !== cell.generation
    ? `${cell.generation} → ${cell.package}`
    : String(cell.generation);
}

function seen(cell, summary, elapsed) {
  if (cell.id === summary.viewer) return "here";
  return cell.age == null ? NONE : age(cell.age + elapsed);
}

function ownPage(cell) {
  return cell.page ? h("a", { href: cell.page, rel: "noreferrer" }, "open") : NONE;
}

/** The page of one cell. */
export const cellNeeds = (id) => [`cells/${id}`];

export function cellView({ summary, cells, names, doc, waiting, id, elapsed }) {
  const document = doc(`cells/${id}`);
  const short = cells.get(Number(id));
  if (!document.data) {
    return [
      heading(short?.name ?? `Cell ${id}`, short && CELL[short.health][1]),
      waiting(document),
    ];
  }
  const report = document.data;
  const cell = report.cell;
  const unless = (text) => (cell.health === "never" ? "Not known: nothing was received from it." : text);
  const lead = [cell.kind, cell.location, cell.owner && `owned by ${cell.owner}`]
    .filter(Boolean)
    .join(" · ");
  return [
    heading(
      [shape(CELL[cell.health][0], "title-mark"), cell.name],
      lead,
      h("a", { class: "button", href: `#/guide/${cell.id}` }, "Guide of the site"),
      cell.page && h("a", { class: "button", href: cell.page, rel: "noreferrer" }, "Its own page"),
    ),
    faultList(report, names),
    h(
      "div",
      { class: "columns" },
      panel("State", { id: "cell-state" }, stateFacts(report, summary, elapsed)),
      panel("Software and addresses", { id: "cell-host" }, hostFacts(report)),
    ),
    panel(
      "LANs",
      { id: "cell-lans" },
      report.lans.length ? lanTable(report.lans, cells) : quiet("This cell has no LAN."),
    ),
    panel(
      "Links",
      { id: "cell-links" },
      report.links.length ? endTable(report.links, cells) : quiet("This cell has no link."),
    ),
    panel(
      "WireGuard interfaces beside links",
      { id: "cell-vpn" },
      report.interfaces.length ? interfaceTable(report.interfaces) : quiet(unless("None is reported.")),
    ),
    panel(
      "Reaches",
      { id: "cell-paths", note: report.paths.length > 0 && `${plural(report.paths.length, "other cell")} probed` },
      report.paths.length ? pathTable(report, cells) : quiet(unless("It has probed no other cell yet.")),
    ),
    report.routes.length > 0 &&
      panel("Routes to other LANs", { id: "cell-routes" }, routeTable(report.routes, cells)),
    (report.particles.length > 0 || cell.serves_particles) &&
      panel(
        "Particles here in the last hour",
        { id: "cell-particles" },
        report.particles.length ? particleTable(report.particles) : quiet(unless("None.")),
      ),
    report.ports.length > 0 && panel("Ports", { id: "cell-ports" }, portTable(report.ports, null)),
    Object.keys(report.dropped).length > 0 &&
      panel(
        "Packets that its firewall has dropped",
        { id: "cell-drops" },
        table(
          "Dropped packets",
          [
            { title: "Rule", head: true, cell: ([rule]) => rule },
            { title: "Packets", num: true, cell: ([, packets]) => count(packets) },
          ],
          Object.entries(report.dropped).sort((a, b) => b[1] - a[1]),
          { key: ([rule]) => rule },
        ),
      ),
    report.limited && h("p", { class: "dim pad" }, "You see a part of this cell: it is not yours."),
  ];
}

function quiet(text) {
  return h("p", { class: "dim pad" }, text);
}

function faultList(report, names) {
  const faults = [...report.faults];
  if (faults.length === 0) return null;
  const [kind] = CELL[report.cell.health];
  const mark = kind === "ok" ? "warn" : kind;
  return h(
    "section",
    { class: "causes", "aria-label": "Faults" },
    h(
      "ul",
      {},
      faults.map((fault) =>
        h(
          "li",
          { class: `cause t-${mark}`, key: fault.what },
          shape(mark),
          h(
            "div",
            {},
            h("p", { class: "what" }, prose(capital(fault.what, names))),
            fault.remedy && h("p", { class: "remedy" }, prose(capital(fault.remedy, names))),
          ),
        ),
      ),
    ),
  );
}

function stateFacts(report, summary, elapsed) {
  const { cell } = report;
  return facts([
    ["State", state(CELL[cell.health])],
    [
      "Seen",
      cell.id === summary.viewer
        ? "here"
        : cell.age == null
          ? "never"
          : `${age(cell.age + elapsed)} ago`,
    ],
    ["Generation", generation(cell)],
    ["Staged", cell.staged],
    [
      "Package",
      report.ack &&
        `${report.ack}${report.ack_generation == null ? "" : ` (generation ${report.ack_generation})`}${report.ack_reason ? `: ${report.ack_reason}` : ""}`,
    ],
    [
      "Undone",
      report.undone &&
        `generation ${report.undone.generation}: ${report.undone.reason}${report.undone_age == null ? "" : ` (${age(report.undone_age)} ago)`}`,
    ],
    ["Registry", report.registry == null ? null : report.registry ? "received" : "not received"],
    ["Links up", `${cell.links_up} of ${cell.links}`],
    ["LANs unreached", cell.unreachable > 0 && String(cell.unreachable)],
    ["Particles online", cell.particles_online == null ? null : String(cell.particles_online)],
    ["If it fails", report.cost],
    [
      "Pending on the host",
      report.pending.length > 0 &&
        h(
          "ul",
          { class: "plain" },
          report.pending.map((one) => h("li", { key: one }, one)),
        ),
    ],
    [
      "In the way",
      report.obstacles.length > 0 &&
        h(
          "ul",
          { class: "plain" },
          report.obstacles.map((one) => h("li", { key: one }, one)),
        ),
    ],
    ["Forwarding", report.unproved && `not proved: ${report.unproved}`],
    ["Notifications", report.muted_for && `none for ${age(report.muted_for)}`],
  ]);
}

function hostFacts(report) {
  const { cell } = report;
  const ahead = report.clock_ahead;
  return facts([
    ["uno", cell.version],
    ["WireGuard", report.wireguard],
    ["Agent up for", cell.uptime == null ? null : age(cell.uptime)],
    ["Host up for", report.host_uptime == null ? null : age(report.host_uptime)],
    [
      "Clock",
      ahead == null
        ? null
        : Math.abs(ahead) < 2
          ? "as here"
          : `${age(Math.abs(ahead))} ${ahead > 0 ? "ahead" : "behind"}`,
    ],
    ["Endpoint", report.endpoint && h("code", {}, report.endpoint)],
    [
      "Addresses",
      (report.node4 || report.node6) &&
        h(
          "span",
          {},
          listed(
            [report.node4, report.node6].filter(Boolean).map((one) => h("code", { key: one }, one)),
          ),
        ),
    ],
    [
      "Timing",
      report.detection == null
        ? null
        : `a lost link is noticed within ${report.detection} s${report.metered ? "; metered" : ""}`,
    ],
    ["AS number", report.asn],
    ["Package format", report.package_format],
    ["Package content", report.content && h("code", { class: "long" }, report.content)],
  ]);
}

/** LANs as rows; the page of LANs has them of all cells. */
export function lanTable(lans, cells, { withCell } = {}) {
  return table(
    "LANs",
    [
      { title: "Network", head: true, cell: (lan) => h("code", {}, lan.network) },
      { title: "State", cell: (lan) => state(LAN[lan.health]) },
      withCell && { title: "Cell", cell: (lan) => cellLink(cells, lan.cell) },
      { title: "Interface", hide: 2, cell: (lan) => lan.interface || NONE },
      {
        title: "Address",
        hide: 1,
        cell: (lan) => (lan.address ? h("code", {}, lan.address) : NONE),
      },
      {
        title: "Forwards",
        hide: 1,
        cell: (lan) =>
          lan.forwards == null ? (lan.interface ? "not proved" : NONE) : lan.forwards ? "yes" : state(["bad", "no"]),
      },
      withCell && {
        title: "Next hop from here",
        hide: 1,
        cell: (lan) => (lan.via.length ? listed(lan.via.map((id) => cellLink(cells, id))) : NONE),
      },
      withCell && {
        title: "Gateway",
        hide: 2,
        cell: (lan) => (lan.gateway ? h("code", {}, lan.gateway) : NONE),
      },
      {
        title: "Not reached by",
        wrap: true,
        hide: withCell ? 0 : 2,
        cell: (lan) => unreachedBy(lan, cells),
      },
    ].filter(Boolean),
    lans,
    { stack: true, key: (lan) => lan.network },
  );
}

function unreachedBy(lan, cells) {
  const ids = lan.unreached_by;
  if (ids.length === 0) return NONE;
  const some = listed(ids.slice(0, 4).map((id) => cellLink(cells, id)));
  return ids.length > 4 ? [...some, ` and ${ids.length - 4} more`] : some;
}

function endTable(ends, cells) {
  return table(
    "Links of this cell",
    [
      {
        title: "To",
        head: true,
        cell: (end) =>
          link(
            `#/links/${Math.min(end.cell, end.peer)}-${Math.max(end.cell, end.peer)}`,
            cells.get(end.peer)?.name ?? `cell ${end.peer}`,
          ),
      },
      { title: "State", cell: (end) => state(worksWord(end)) },
      { title: "RTT", num: true, cell: (end) => ms(end.rtt) },
      { title: "Loss", num: true, cell: (end) => percent(end.loss) },
      {
        title: "Handshake",
        num: true,
        hide: 1,
        cell: (end) => (end.handshake != null ? age(end.handshake) : end.age == null ? NONE : "none"),
      },
      { title: "BGP", hide: 1, cell: (end) => end.bgp || NONE },
      { title: "BFD", hide: 2, cell: (end) => end.bfd || NONE },
      { title: "In", num: true, hide: 1, cell: (end) => octets(end.received) },
      { title: "Out", num: true, hide: 1, cell: (end) => octets(end.sent) },
      { title: "Interface", hide: 2, cell: (end) => end.interface || NONE },
      {
        title: "Endpoint",
        hide: 2,
        cell: (end) => (end.endpoint ? h("code", {}, end.endpoint) : NONE),
      },
    ],
    ends,
    { key: (end) => end.peer },
  );
}

/** Whether an end of a link works, as a state. */
export function worksWord(end) {
  if (end.works == null) return ["off", "not known"];
  return end.works ? ["ok", "up"] : ["bad", "down"];
}

function interfaceTable(interfaces) {
  return table(
    "WireGuard interfaces",
    [
      {
        title: "For",
        head: true,
        cell: (one) => (one.kind === "root" ? "registry (root VPN)" : one.kind),
      },
      { title: "Interface", cell: (one) => one.interface || NONE },
      { title: "Port", num: true, cell: (one) => one.port ?? NONE },
      {
        title: "Peers",
        num: true,
        cell: (one) =>
          one.online == null ? count(one.peers) : `${one.online} of ${count(one.peers)}`,
      },
      { title: "Handshake", num: true, cell: (one) => age(one.handshake) },
      {
        title: "Endpoint",
        hide: 1,
        cell: (one) => (one.endpoint ? h("code", {}, one.endpoint) : NONE),
      },
      { title: "In", num: true, hide: 1, cell: (one) => octets(one.received) },
      { title: "Out", num: true, hide: 1, cell: (one) => octets(one.sent) },
    ],
    interfaces,
    { stack: true, key: (one) => `${one.kind} ${one.interface}` },
  );
}

function pathTable(report, cells) {
  return table(
    "Other cells, as probed by this one",
    [
      { title: "Cell", head: true, cell: (path) => cellLink(cells, path.cell) },
      {
        title: "Answers",
        cell: (path) =>
          state(
            path.rtt == null ? ["bad", "no"] : path.loss > 0 ? ["warn", "some"] : ["ok", "yes"],
          ),
      },
      { title: "RTT", num: true, cell: (path) => ms(path.rtt) },
      { title: "Loss", num: true, cell: (path) => percent(path.loss) },
      {
        title: "Next hop",
        hide: 1,
        cell: (path) =>
          path.via.length ? listed(path.via.map((id) => cellLink(cells, id))) : NONE,
      },
    ],
    report.paths,
    { key: (path) => path.cell },
  );
}

function routeTable(routes, cells) {
  return table(
    "Routes to LANs of other cells",
    [
      { title: "Network", head: true, cell: (route) => h("code", {}, route.network) },
      { title: "Of", cell: (route) => cellLink(cells, route.cell) },
      {
        title: "Reached",
        cell: (route) =>
          state(
            route.reached == null
              ? ["off", "not known"]
              : route.reached
                ? ["ok", "yes"]
                : ["bad", "no"],
          ),
      },
      {
        title: "Next hop",
        cell: (route) =>
          route.via.length ? listed(route.via.map((id) => cellLink(cells, id))) : NONE,
      },
    ],
    routes,
    { stack: true, key: (route) => route.network },
  );
}

function particleTable(particles) {
  return table(
    "Particles",
    [
      { title: "Particle", head: true, cell: (one) => one.name },
      { title: "State", cell: (one) => state(ONLINE(one.online)) },
      { title: "Handshake", num: true, cell: (one) => `${age(one.handshake)} ago` },
      { title: "In", num: true, cell: (one) => octets(one.received) },
      { title: "Out", num: true, cell: (one) => octets(one.sent) },
    ],
    particles,
    { stack: true, key: (one) => one.id },
  );
}
