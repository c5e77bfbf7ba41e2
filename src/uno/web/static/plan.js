/** What follows from the plan: failures and their cost, the guide of a site, settings. */

import { h } from "./dom.js";
import { NONE, plural } from "./format.js";
import { cellLink, empty, facts, heading, listed, panel, prose, state, table } from "./parts.js";
import { portTable } from "./ports.js";

const KINDS = [
  ["", "Apart already"],
  ["link", "Links"],
  ["cell", "Cells"],
  ["site", "Sites"],
];

export const risksNeeds = () => [];

export function risksView({ summary, cells }) {
  const lead = "What the loss of one link, cell or site would cost, from the plan.";
  if (summary.risks.length === 0) {
    return [
      heading("Single points of failure", lead),
      empty(
        "No single failure cuts anything off",
        "Each link, each cell and each site can fail: all others still reach each other.",
      ),
    ];
  }
  return [
    heading("Single points of failure", lead),
    KINDS.filter(([kind]) => summary.risks.some((risk) => risk.kind === kind)).map(
      ([kind, title]) => {
        const risks = summary.risks.filter((risk) => risk.kind === kind);
        return panel(
          title,
          { tight: true, id: `risks-${kind}`, note: String(risks.length) },
          table(
            title,
            [
              {
                title: "Failure",
                head: true,
                cell: (risk) =>
                  risk.kind === "link" && risk.cells.length === 2
                    ? h(
                        "a",
                        { href: `#/links/${Math.min(...risk.cells)}-${Math.max(...risk.cells)}` },
                        risk.cells.map((id) => cells.get(id)?.name ?? `cell ${id}`).join(" – "),
                      )
                    : listed(risk.cells.map((id) => cellLink(cells, id))),
              },
              { title: "Cuts off", wrap: true, cell: (risk) => few(risk.cut_off, cells) },
              { title: "In words", wrap: true, hide: 1, cell: (risk) => risk.what },
            ],
            risks,
            { key: (risk) => `${risk.kind} ${risk.cells.join("-")} ${risk.what}` },
          ),
        );
      },
    ),
    h(
      "p",
      { class: "dim pad" },
      prose(
        "At the registry, `uno verify` counts failures of two as well, and `uno verify --suggest` names links that would help.",
      ),
    ),
  ];
}

function few(ids, cells) {
  const some = listed(ids.slice(0, 5).map((id) => cellLink(cells, id)));
  return ids.length > 5 ? [...some, ` and ${ids.length - 5} more`] : ids.length ? some : NONE;
}

export const guideNeeds = (id) => (id ? [`guide/${id}`] : []);

export function guideView({ summary, cells, doc, waiting, id, go }) {
  const chosen = Number(id) || summary.viewer || summary.cells[0]?.id;
  const lead = "What a site needs from its router: ports to forward, and routes.";
  if (!chosen)
    return [
      heading("Guide of a site", lead),
      empty("No cells yet", "There is no site to guide.", "off"),
    ];
  const select = h(
    "label",
    { class: "inline" },
    "Site",
    h(
      "select",
      { onchange: (event) => go(`#/guide/${event.target.value}`) },
      summary.cells.map((cell) =>
        h(
          "option",
          { key: cell.id, value: String(cell.id), selected: cell.id === chosen },
          cell.name,
        ),
      ),
    ),
  );
  const document = doc(`guide/${chosen}`);
  if (!document.data) return [heading("Guide of a site", lead, select), waiting(document)];
  const guide = document.data;
  return [
    heading("Guide of a site", lead, select),
    h(
      "div",
      { class: "columns" },
      panel(
        "Site",
        { id: "guide-site" },
        facts([
          ["Cell", cellLink(cells, guide.cell)],
          ["Endpoint", guide.endpoint ? h("code", {}, guide.endpoint) : "none: it dials out"],
          [
            "LANs",
            guide.lans.length
              ? listed(guide.lans.map((lan) => h("code", { key: lan }, lan)))
              : "none",
          ],
          ["Whole guide", guide.command && h("code", {}, guide.command)],
        ]),
      ),
      panel(
        "Ports to forward",
        { id: "guide-forward" },
        guide.ports.length
          ? [
              h(
                "p",
                { class: "pad dim" },
                "On the router that has the public address, to this host, with the same numbers.",
              ),
              portTable(guide.ports, null, { mixed: false }),
            ]
          : h(
              "p",
              { class: "pad dim" },
              guide.endpoint
                ? "None."
                : "None. This cell dials out; any Internet access will do, behind any NAT.",
            ),
      ),
    ),
    panel(
      "Routes on the LAN's router",
      { id: "guide-routes" },
      guide.routes.length
        ? table(
            "Routes",
            [
              { title: "Network", head: true, cell: (route) => h("code", {}, route.network) },
              {
                title: "Gateway",
                cell: (route) =>
                  route.gateway
                    ? h("code", {}, route.gateway)
                    : h("span", { class: "dim" }, "the host's address in its LAN"),
              },
              { title: "Whose", wrap: true, cell: (route) => route.whose },
            ],
            guide.routes,
            { stack: true, key: (route) => `${route.network} ${route.gateway}` },
          )
        : h("p", { class: "pad dim" }, "None: the cell has no LAN."),
    ),
  ];
}

export const settingsNeeds = () => ["settings"];

export function settingsView({ cells, doc, waiting }) {
  const document = doc("settings");
  if (!document.data)
    return [heading("Settings", "The definition and the plan."), waiting(document)];
  const all = document.data;
  return [
    heading(
      "Settings",
      `${all.uvn}, generation ${all.generation}. Changes are made at the registry.`,
    ),
    all.directory == null &&
      h(
        "p",
        { class: "notice" },
        state([
          "info",
          "The registry's public facts have not arrived: this is what the cell's own package has.",
        ]),
      ),
    h(
      "div",
      { class: "columns" },
      panel(
        "UVN",
        { id: "settings-uvn" },
        facts([
          ["Name", all.uvn],
          ["Owner", all.owner],
          ["Address", all.address && h("code", {}, all.address)],
          ["Identity", h("code", { class: "long" }, all.identity)],
          ["Strategy", all.strategy],
          ["Ring", all.ring.length > 0 && few8(all.ring, cells)],
        ]),
      ),
      panel("Address pools", { id: "settings-pools" }, named(all.pools)),
    ),
    panel("Settings", { id: "settings-all" }, named(all.settings)),
    panel(
      "Links of the plan",
      { id: "settings-links", note: plural(all.links.length, "link") },
      all.links.length ? plannedLinks(all.links, cells) : h("p", { class: "pad dim" }, "None."),
    ),
    panel(
      "Ports",
      { id: "settings-ports" },
      all.ports.length
        ? portTable(all.ports, cells)
        : h("p", { class: "pad dim" }, "None that you may see."),
    ),
    all.users.length > 0 &&
      panel(
        "Users",
        { id: "settings-users", note: plural(all.users.length, "user") },
        table(
          "Users",
          [
            {
              title: "E-mail",
              head: true,
              cell: (user) => [user.email, user.is_owner && h("span", { class: "tag" }, "owner")],
            },
            { title: "Name", hide: 1, cell: (user) => user.name || NONE },
            { title: "Cells", wrap: true, cell: (user) => few(user.cells, cells) },
            { title: "Particles", num: true, cell: (user) => String(user.particles.length) },
            {
              title: "State",
              cell: (user) => state(user.excluded ? ["bad", "banned"] : ["ok", "active"]),
            },
          ],
          all.users,
          { stack: true, key: (user) => user.email },
        ),
      ),
    panel(
      "Banned",
      { id: "settings-banned" },
      all.banned.length
        ? table(
            "Banned cells and particles",
            [
              { title: "Name", head: true, cell: (row) => row.name },
              { title: "Kind", cell: (row) => row.kind },
              { title: "Owner", cell: (row) => row.owner || NONE },
            ],
            all.banned,
            { key: (row) => `${row.kind} ${row.id}` },
          )
        : h("p", { class: "pad dim" }, "No cell and no particle is banned."),
    ),
  ];
}

function named(values) {
  const rows = Object.entries(values);
  if (rows.length === 0) return h("p", { class: "pad dim" }, "Not known here.");
  return h(
    "dl",
    { class: "facts named" },
    rows.map(([name, value]) =>
      h("div", { key: name }, h("dt", {}, h("code", {}, breaking(name))), h("dd", {}, value || NONE)),
    ),
  );
}

/** A name that may break after its dots and underscores. */
function breaking(name) {
  return name.split(/(?<=[._])/).flatMap((part, i) => (i ? [h("wbr", {}), part] : [part]));
}

function few8(ids, cells) {
  const some = listed(ids.slice(0, 8).map((id) => cellLink(cells, id)));
  return ids.length > 8 ? [...some, ` and ${ids.length - 8} more`] : some;
}

function plannedLinks(links, cells) {
  const end = (address, port) => [
    address ? h("code", {}, address) : NONE,
    h("span", { class: "dim" }, port == null ? " dials" : ` UDP ${port}`),
  ];
  return table(
    "Links of the plan",
    [
      {
        title: "Link",
        head: true,
        cell: (one) =>
          h(
            "a",
            { href: `#/links/${one.name}` },
            `${cells.get(one.a)?.name ?? one.a} – ${cells.get(one.b)?.name ?? one.b}`,
          ),
      },
      { title: "No.", num: true, hide: 1, cell: (one) => one.number ?? NONE },
      { title: "First end", cell: (one) => end(one.address_a, one.port_a) },
      { title: "Second end", cell: (one) => end(one.address_b, one.port_b) },
      {
        title: "Interfaces",
        hide: 2,
        cell: (one) => [one.interface_a, one.interface_b].filter(Boolean).join(", ") || NONE,
      },
    ],
    links,
    { stack: true, key: (one) => one.name },
  );
}
