/**
 * The map: cells at the places that the server gives them, links between them, LANs and particles
 * beside their cells. Drawn in CSS pixels, so that text has the same size on a phone.
 */

import { h } from "./dom.js";
import { label } from "./labels.js";
import { ms, percent, plural, rate } from "./format.js";
import { CELL, LAN, LINK, linkTitle, shape } from "./parts.js";

/** With more cells, only those that are not well have a name on the map. */
const NAMED = 40;
/** With more links, none has its round-trip time on the map, and no traffic moves. */
const LABELLED = 16;
const MOVING = 80;
/** How much wider than high a circle may be drawn. */
const STRETCH = 1.9;

const size = { width: 0, height: 0, cells: 0, radius: null };
const ui = { hot: "", at: 0, phone: false };

export function map(summary, cells, redraw) {
  const { width, height } = size;
  return h(
    "div",
    { class: `map ${summary.cells.length > 60 ? "large" : ""}` },
    h(
      "div",
      { class: "map-room", mount: (node) => measure(node, redraw) },
      width > 0 && drawing(summary, cells, width, height, redraw),
    ),
    caption(summary, cells),
  );
}

function measure(node, redraw) {
  const take = () => {
    const { clientWidth, clientHeight } = node;
    if (clientWidth === size.width && clientHeight === size.height) return;
    Object.assign(size, { width: clientWidth, height: clientHeight, radius: null });
    redraw();
  };
  const observer = new ResizeObserver(take);
  observer.observe(node);
  take();
  return () => observer.disconnect();
}

function drawing(summary, cells, width, height, redraw) {
  const places = place(summary.cells, width, height, summary.cells.length > NAMED ? 26 : 74);
  const many = summary.cells.length > NAMED;
  if (size.cells !== summary.cells.length)
    Object.assign(size, { cells: summary.cells.length, radius: null });
  const radius = many ? (size.radius ??= spacing(places)) : 11;
  const hot = neighbours(summary);
  const light = (name) => () => {
    if (ui.hot === name) return;
    ui.hot = name;
    redraw();
  };
  const dark = () => {
    if (!ui.hot) return;
    ui.hot = "";
    redraw();
  };
  const broken = summary.links.filter((one) => one.health !== "up").length;
  const room = {
    width,
    height,
    many,
    places: [...places.values()],
    links: summary.links
      .map((one) => [places.get(one.a), places.get(one.b)])
      .filter(([from, to]) => from && to),
    taken: [],
  };
  const said = `Map: ${plural(summary.cells.length, "cell")}, ${plural(summary.links.length, "link")}, ${broken} of them not up. Arrow keys move from cell to cell.`;
  return h(
    "svg",
    {
      class: `drawing ${many ? "many" : ""} ${ui.hot ? "lit" : ""}`,
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "group",
      "aria-label": said,
      onpointerleave: dark,
      onkeydown: (event) => walk(event, summary.cells, places, redraw),
    },
    h(
      "g",
      { class: "links" },
      summary.links.map((one) => linkOf(one, cells, places, hot, light, dark)),
    ),
    summary.links.length <= LABELLED &&
      h(
        "g",
        { class: "rtts", "aria-hidden": "true" },
        summary.links.map((one) => rttOf(one, places, width, height)),
      ),
    h(
      "g",
      { class: "cells" },
      summary.cells.map((cell, i) =>
        cellOf(cell, i, { summary, places, many, radius, hot, light, dark, room }),
      ),
    ),
  );
}

/** A radius at which the nearest two cells leave a gap between them. */
function spacing(places) {
  const all = [...places.values()];
  let least = Infinity;
  all.forEach((a, i) => {
    for (let j = i + 1; j < all.length; j += 1)
      least = Math.min(least, Math.hypot(a.x - all[j].x, a.y - all[j].y));
  });
  return clamp(least / 2.5, 3, 7);
}

/** Where cells are, in pixels: the square of the server, stretched into the room that there is. */
export function place(cells, width, height, margin) {
  const room = {
    x: margin > 40 ? Math.min(130, width * 0.21) : Math.min(84, width * 0.1),
    y: margin,
  };
  const xs = cells.map((cell) => cell.x);
  const ys = cells.map((cell) => cell.y);
  const [left, right, top, bottom] = [
    Math.min(...xs),
    Math.max(...xs),
    Math.min(...ys),
    Math.max(...ys),
  ];
  const high = height - 2 * room.y;
  let scaleY = bottom > top ? high / (bottom - top) : 0;
  const wide = width - 2 * room.x;
  let scaleX = right > left ? wide / (right - left) : 0;
  if (scaleY > 0) scaleX = Math.min(scaleX, scaleY * STRETCH);
  if (scaleX > 0) scaleY = Math.min(scaleY, scaleX * STRETCH);
  const middle = { x: (left + right) / 2, y: (top + bottom) / 2 };
  return new Map(
    cells.map((cell) => [
      cell.id,
      {
        x: width / 2 + (cell.x - middle.x) * scaleX,
        y: height / 2 + (cell.y - middle.y) * scaleY,
      },
    ]),
  );
}

/** What is lit with the cell or link under the pointer, by name. Nothing is dark without one. */
function neighbours(summary) {
  if (!ui.hot) return null;
  const lit = new Set([ui.hot]);
  for (const one of summary.links) {
    const [a, b] = [`c${one.a}`, `c${one.b}`];
    if (ui.hot === one.name) lit.add(a).add(b);
    if (ui.hot === a || ui.hot === b) lit.add(one.name).add(a).add(b);
  }
  return lit;
}

function linkOf(one, cells, places, hot, light, dark) {
  const [from, to] = [places.get(one.a), places.get(one.b)];
  if (!from || !to) return null;
  const [kind, word] = LINK[one.health];
  const flow = Math.max(one.receive_rate ?? 0, one.send_rate ?? 0) * 8;
  const speed =
    one.health !== "up" || places.size > MOVING || flow < 2000
      ? 0
      : flow < 1e6
        ? 1
        : flow < 2e7
          ? 2
          : 3;
  const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
  return h(
    "a",
    {
      svg: true,
      key: one.name,
      href: `#/links/${one.name}`,
      tabindex: "-1",
      class: `edge t-${kind} ${hot && !hot.has(one.name) ? "dim" : ""}`,
      "aria-label": `Link ${linkTitle(cells, one)}: ${word}${one.rtt == null ? "" : `, ${ms(one.rtt)}`}`,
      onpointerenter: light(one.name),
      onfocus: light(one.name),
      onblur: dark,
    },
    h("line", { class: "reach", ...ends }),
    h("line", { class: "wire", ...ends }),
    speed > 0 && h("line", { class: `flow flow-${speed}`, ...ends }),
  );
}

function rttOf(one, places, width, height) {
  const [from, to] = [places.get(one.a), places.get(one.b)];
  if (!from || !to || one.rtt == null) return null;
  // Chords cross in the middle: their labels stand nearer to one end.
  const centre =
    Math.hypot((from.x + to.x) / 2 - width / 2, (from.y + to.y) / 2 - height / 2) < 0.12 * width;
  const t = centre && places.size > 3 ? 0.32 : 0.5;
  return h(
    "text",
    {
      class: "rtt",
      key: one.name,
      x: from.x + (to.x - from.x) * t,
      y: from.y + (to.y - from.y) * t + 4,
      "text-anchor": "middle",
    },
    ms(one.rtt),
  );
}

function cellOf(cell, index, { summary, places, many, radius, hot, light, dark, room }) {
  const { x, y } = places.get(cell.id);
  const [kind, word] = CELL[cell.health];
  const named =
    !many ||
    ui.hot === `c${cell.id}` ||
    (hot?.has(`c${cell.id}`) && !ui.hot.startsWith("c")) ||
    (kind !== "ok" && broken(summary) <= 12);
  const viewer = cell.id === summary.viewer;
  const lans = summary.lans.filter((lan) => lan.cell === cell.id);
  return h(
    "a",
    {
      svg: true,
      key: cell.id,
      href: `#/cells/${cell.id}`,
      tabindex: index === at(summary.cells) ? "0" : "-1",
      class: `node t-${kind} ${hot && !hot.has(`c${cell.id}`) ? "dim" : ""} ${viewer ? "viewer" : ""}`,
      "data-cell": cell.id,
      "aria-label": `${cell.name}: ${word}${lans.length ? `, ${lans.map((lan) => `${lan.network} ${LAN[lan.health][1]}`).join(", ")}` : ""}`,
      onpointerenter: light(`c${cell.id}`),
      onblur: dark,
      onfocus: () => {
        ui.at = index;
        light(`c${cell.id}`)();
      },
    },
    h("circle", { class: "halo", cx: x, cy: y, r: radius + (many ? 1.5 : 5) }),
    viewer && h("circle", { class: "ring", cx: x, cy: y, r: radius + 4.5 }),
    h("use", {
      href: `#m-${kind}`,
      x: x - radius,
      y: y - radius,
      width: 2 * radius,
      height: 2 * radius,
    }),
    named && words(cell, lans, { x, y, radius, place: places.get(cell.id) }, room),
  );
}

function broken(summary) {
  return summary.cells.filter((cell) => cell.health !== "ok").length;
}

/** Name, LANs and particles of a cell. */
function words(cell, lans, at, room) {
  const lines = room.many ? [] : detail(cell, lans, room.width > 480);
  const texts = lines.map(([, text]) => text);
  const { x, y, anchor } = label(cell.name, texts, at, room);
  return h(
    "text",
    { x, y, "text-anchor": anchor, "aria-hidden": "true" },
    h("tspan", { class: "name", x }, cell.name),
    lines.map(([kind, text], i) =>
      h("tspan", { key: i, class: `lan on-${kind}`, x, dy: 15 }, text),
    ),
  );
}

function detail(cell, lans, wide) {
  const lines = lans
    .slice(0, 2)
    .map((lan) => [
      LAN[lan.health][0],
      lan.health === "reached" || lan.health === "unknown"
        ? lan.network
        : `${lan.network} ${LAN[lan.health][1]}`,
    ]);
  if (lans.length > 2) lines.push(["off", `and ${lans.length - 2} more`]);
  if (wide && cell.particles_online)
    lines.push(["off", `${plural(cell.particles_online, "particle")} online`]);
  return lines;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function at(cells) {
  return Math.min(ui.at, cells.length - 1);
}

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** Arrow keys: to the nearest cell in that direction. */
function walk(event, cells, places, redraw) {
  const towards = DIRECTIONS[event.key];
  if (!towards) return;
  event.preventDefault();
  const from = places.get(cells[at(cells)].id);
  let best = -1;
  let least = Infinity;
  cells.forEach((cell, i) => {
    const to = places.get(cell.id);
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const along = dx * towards[0] + dy * towards[1];
    if (along <= 1) return;
    const cost = along + 2.5 * Math.abs(dx * towards[1] - dy * towards[0]);
    if (cost < least) [least, best] = [cost, i];
  });
  if (best < 0) return;
  ui.at = best;
  redraw();
  document.querySelector(`.node[data-cell="${cells[best].id}"]`)?.focus();
}

/** One line below the map, of a height that does not change: what is lit, or the legend. */
function caption(summary, cells) {
  if (ui.hot.startsWith("c")) {
    const cell = cells.get(Number(ui.hot.slice(1)));
    if (cell) {
      const [kind, word] = CELL[cell.health];
      return h(
        "p",
        { class: "map-caption", "aria-hidden": "true" },
        shape(kind),
        h("b", {}, cell.name),
        h("span", {}, word),
        h("span", { class: "dim" }, `${cell.links_up} of ${plural(cell.links, "link")} up`),
        cell.location && h("span", { class: "dim" }, cell.location),
        cell.why && h("span", { class: "dim" }, cell.why),
      );
    }
  }
  const one = ui.hot && summary.links.find((each) => each.name === ui.hot);
  if (one) {
    const [kind, word] = LINK[one.health];
    return h(
      "p",
      { class: "map-caption", "aria-hidden": "true" },
      shape(kind),
      h("b", {}, linkTitle(cells, one)),
      h("span", {}, word),
      one.why && h("span", { class: "dim" }, one.why),
      h("span", { class: "dim" }, ms(one.rtt)),
      h("span", { class: "dim" }, `${percent(one.loss)} loss`),
      h("span", { class: "dim" }, `in ${rate(one.receive_rate)}, out ${rate(one.send_rate)}`),
    );
  }
  return h(
    "p",
    { class: "map-caption legend", "aria-hidden": "true" },
    [
      ["ok", "OK"],
      ["part", "behind"],
      ["warn", "degraded"],
      ["bad", "down, no contact"],
      ["off", "not known"],
    ].map(([kind, word]) => h("span", { key: kind }, shape(kind), word)),
  );
}
