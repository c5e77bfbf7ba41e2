/**
 * The page: which view is shown, with which documents, and the frame around it.
 *
 * A view is a pure function of documents. Each version that the server announces fetches the
 * documents of the view that is shown, and draws it again; what is equal stays as it is.
 */

import { h, render } from "./dom.js";
import {
  Refusal,
  connection,
  doc,
  follow,
  forgetAll,
  get,
  listen,
  post,
  renew,
  since,
  unfollow,
} from "./api.js";
import { age } from "./format.js";
import { SEVERITY, icon, shape, waiting } from "./parts.js";
import * as overview from "./overview.js";
import { loginView } from "./login.js";

/** Ages on the screen grow so often, in ms. */
const TICK = 5000;
/** What was drawn from older documents than this is marked as old, in seconds. */
const OLD = 45;
const NARROW = matchMedia("(max-width: 899px)");

/** Views by the first word of the address. Each module is fetched when it is first shown. */
const VIEWS = {
  "": { title: "Overview", load: async () => overview, needs: "needs", view: "view" },
  cells: {
    title: "Cells",
    load: () => import("./cells.js"),
    needs: "needs",
    view: "view",
    one: ["cellNeeds", "cellView"],
  },
  lans: { title: "LANs", load: () => import("./links.js"), needs: "needs", view: "lansView" },
  links: {
    title: "Links",
    load: () => import("./links.js"),
    needs: "needs",
    view: "view",
    one: ["linkNeeds", "linkView"],
  },
  matrix: {
    title: "Reachability",
    load: () => import("./matrix.js"),
    needs: "needs",
    view: "view",
  },
  particles: {
    title: "Particles",
    load: () => import("./particles.js"),
    needs: "needs",
    view: "view",
  },
  explain: {
    title: "Explain a path",
    load: () => import("./explain.js"),
    needs: "needs",
    view: "view",
  },
  change: { title: "Change", load: () => import("./change.js"), needs: "needs", view: "view" },
  events: { title: "Events", load: () => import("./events.js"), needs: "needs", view: "view" },
  failures: {
    title: "Single points of failure",
    load: () => import("./plan.js"),
    needs: "risksNeeds",
    view: "risksView",
  },
  guide: {
    title: "Guide of a site",
    load: () => import("./plan.js"),
    needs: "guideNeeds",
    view: "guideView",
    one: ["guideNeeds", "guideView"],
  },
  settings: {
    title: "Settings",
    load: () => import("./plan.js"),
    needs: "settingsNeeds",
    view: "settingsView",
  },
};
const MENU = [
  ["Now", ["", "cells", "lans", "links", "matrix", "particles", "explain"]],
  ["Over time", ["change", "events"]],
  ["Plan", ["failures", "guide", "settings"]],
];

const root = document.getElementById("root");
/** `session` is null where nobody is logged in, undefined until that is known. */
const app = {
  session: undefined,
  ended: false,
  module: null,
  loaded: "",
  menu: false,
  account: false,
  said: "",
};
let drawing = 0;

function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/").map(decodeURIComponent);
  return {
    name: name in VIEWS ? name : "",
    id: VIEWS[name]?.one ? id : undefined,
    query: new URLSearchParams(search),
  };
}

/** Draw soon: once for all that has changed in this turn. */
function redraw() {
  if (drawing) return;
  drawing = 1;
  queueMicrotask(() => {
    drawing = 0;
    draw();
  });
}

function draw() {
  const began = performance.now();
  if (app.session === undefined) render(root, splash());
  else if (app.session === null) {
    document.title = "Log in – uno";
    render(root, loginView({ ended: app.ended, loggedIn, redraw }));
  } else render(root, frame());
  root.dataset.drawn = (performance.now() - began).toFixed(1);
}

function splash() {
  if (connection.online)
    return h(
      "div",
      { class: "splash", role: "status" },
      icon("i-logo", "logo"),
      h("span", { class: "sr" }, "Loading"),
    );
  return h(
    "main",
    { class: "splash", id: "main" },
    shape("bad", "big"),
    h("h1", {}, "The page's server does not answer"),
    h(
      "p",
      {},
      "Check the network between this device and the cell. The page tries again by itself.",
    ),
  );
}

function frame() {
  const here = route();
  const kept = doc("summary");
  const summary = kept.data;
  const kind = !summary ? "off" : summary.severity ? SEVERITY[summary.severity][0] : "ok";
  document.title = summary
    ? `${kind === "ok" ? "" : "! "}${VIEWS[here.name].title} – ${summary.uvn}`
    : "uno";
  announce(summary);
  return [
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to content"),
    banner(kept),
    h(
      "header",
      { class: "bar", key: "bar" },
      h(
        "button",
        {
          type: "button",
          class: "icon-button menu-button",
          "aria-label": "Menu",
          "aria-expanded": String(app.menu),
          "aria-controls": "menu",
          onclick: () => toggle("menu"),
        },
        icon(app.menu ? "i-close" : "i-menu"),
      ),
      h(
        "a",
        { class: "brand", href: "#/" },
        icon("i-logo", "logo"),
        h("span", { class: "brand-name" }, summary?.uvn ?? "uno"),
        summary &&
          h(
            "span",
            { class: "brand-state" },
            shape(kind),
            h("span", { class: "sr" }, summary.headline),
          ),
      ),
      h("div", { class: "bar-end" }, freshness(kept), themeButton(), account()),
    ),
    h(
      "nav",
      {
        class: `menu ${app.menu ? "open" : ""}`,
        id: "menu",
        key: "menu",
        "aria-label": "Views",
        onkeydown: escape,
      },
      MENU.map(([group, names]) =>
        h(
          "div",
          { class: "menu-group", key: group },
          h("p", { class: "menu-title" }, group),
          h(
            "ul",
            {},
            names.map((name) =>
              h(
                "li",
                { key: name },
                h(
                  "a",
                  {
                    href: `#/${name}`,
                    "aria-current": name === here.name ? "page" : null,
                  },
                  VIEWS[name].title,
                  badge(name, summary),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
    app.menu && h("div", { class: "veil", key: "veil", onclick: () => toggle("menu") }),
    h(
      "main",
      { id: "main", tabindex: "-1", key: "main", class: kept.error ? "stale" : "" },
      h(
        "div",
        {
          class: "page",
          "data-view": here.id ? `${here.name}/${here.id}` : here.name,
          key: `${here.name}/${here.id ?? ""}`,
        },
        page(here, kept),
      ),
    ),
    h("p", { class: "sr", role: "status", key: "said" }, app.said),
  ];
}

/** How many things are not well in a view, beside its name. */
function badge(name, summary) {
  if (!summary) return null;
  const counts = {
    cells: summary.cells.filter((cell) => cell.health !== "ok").length,
    links: summary.links.filter((one) => one.health !== "up").length,
    lans: summary.lans.filter((lan) => lan.health !== "reached").length,
    change: (summary.undone ? 1 : 0) + (summary.waiting > 0 ? 1 : 0),
  };
  const n = counts[name];
  return n > 0 && h("span", { class: "badge" }, n, h("span", { class: "sr" }, " not well"));
}

/** Say a changed headline to screen readers; the first one is read with the page. */
function announce(summary) {
  if (!summary || summary.headline === app.headline) return;
  if (app.headline !== undefined) app.said = summary.headline;
  app.headline = summary.headline;
}

function page(here, kept) {
  if (!kept.data) return waiting(kept, update);
  if (app.loaded !== here.name || !app.module)
    return h("div", { class: "skeleton" }, h("div", {}), h("div", {}), h("div", {}));
  const view = VIEWS[here.name];
  const summary = kept.data;
  return app.module[here.id ? view.one[1] : view.view]({
    summary,
    doc,
    redraw,
    reader: app.session.email,
    id: here.id,
    query: here.query,
    elapsed: since(kept),
    names: new Set([summary.uvn, ...summary.cells.map((cell) => cell.name)]),
    cells: new Map(summary.cells.map((cell) => [cell.id, cell])),
    waiting: (document) => waiting(document, update),
    go: (hash) => (location.hash = hash),
  });
}

function banner(kept) {
  if (!kept.data || (connection.online && !kept.error)) return null;
  return h(
    "div",
    { class: "banner", role: "alert", key: "banner" },
    shape("warn"),
    h(
      "span",
      {},
      connection.online ? kept.error.message : "No connection to this page's server.",
      ` Shown is what it knew ${age(since(kept))} ago.`,
    ),
    h("button", { type: "button", onclick: update }, "Try again"),
  );
}

function freshness(kept) {
  if (!kept.data) return null;
  const old = !connection.online || since(kept) > OLD;
  return h(
    "span",
    { class: `fresh ${old ? "old" : ""}` },
    h("i", { class: "pulse", "aria-hidden": "true" }),
    h("span", {}, old ? `${age(since(kept))} old` : "live"),
  );
}

const THEMES = { auto: ["i-auto", "light"], light: ["i-light", "dark"], dark: ["i-dark", "auto"] };

function themeButton() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const [name, next] = THEMES[now];
  return h(
    "button",
    {
      type: "button",
      class: "icon-button",
      "aria-label": `Colours: ${now}. Change to ${next}`,
      title: `Colours: ${now}`,
      onclick: () => {
        if (next === "auto") {
          delete document.documentElement.dataset.theme;
          localStorage.removeItem("uno-theme");
        } else {
          document.documentElement.dataset.theme = next;
          localStorage.setItem("uno-theme", next);
        }
        dispatchEvent(new Event("themechange"));
        redraw();
      },
    },
    icon(name),
  );
}

function account() {
  const { email, name, is_owner: owner } = app.session;
  const label = name || email;
  return h(
    "div",
    { class: "account", onkeydown: escape },
    h(
      "button",
      {
        type: "button",
        class: "account-button",
        "aria-expanded": String(app.account),
        "aria-controls": "account",
        onclick: () => toggle("account"),
      },
      h("span", { class: "avatar", "aria-hidden": "true" }, label.slice(0, 1).toUpperCase()),
      h("span", { class: "sr" }, `Account of ${label}`),
    ),
    app.account &&
      h(
        "div",
        { class: "popover", id: "account" },
        h("p", {}, h("b", {}, label)),
        name && h("p", { class: "dim small" }, email),
        h("p", { class: "dim small" }, owner ? "Owner of the UVN" : "Sees what is theirs"),
        h("button", { type: "button", onclick: logOut }, "Log out"),
      ),
  );
}

function toggle(what) {
  app[what] = !app[what];
  redraw();
}

function escape(event) {
  if (event.key !== "Escape" || !(app.menu || app.account)) return;
  const opener = app.menu ? ".menu-button" : ".account-button";
  Object.assign(app, { menu: false, account: false });
  redraw();
  document.querySelector(opener)?.focus();
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

/** What the view that is shown is made of. */
function paths() {
  const { name, id } = route();
  const view = VIEWS[name];
  const module = app.loaded === name ? app.module : null;
  return new Set(["summary", ...(module?.[id ? view.one[0] : view.needs](id) ?? [])]);
}

function update() {
  if (app.session) renew(paths());
  else start();
}

async function show() {
  const { name } = route();
  Object.assign(app, { menu: false, account: false });
  const module = await VIEWS[name].load();
  if (route().name !== name) return;
  Object.assign(app, { module, loaded: name });
  if (app.session) renew(paths());
  redraw();
}

/** A new view begins at its top, with its title focused, as a new page would. */
async function moved() {
  await show();
  await Promise.resolve();
  scrollTo(0, 0);
  document.querySelector("#main h1")?.focus({ preventScroll: true });
}

function loggedIn(session) {
  Object.assign(app, { session, ended: false });
  follow(update);
  show();
}

function loggedOut() {
  const was = Boolean(app.session);
  unfollow();
  forgetAll();
  Object.assign(app, { session: null, ended: was, account: false, headline: undefined, said: "" });
  redraw();
}

async function logOut() {
  try {
    await post("logout");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  loggedOut();
  app.ended = false;
}

async function start() {
  try {
    const session = await get("session");
    if (app.session) return;
    loggedIn(session);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status !== 401) setTimeout(start, TICK);
  }
  redraw();
}

listen(redraw, loggedOut);
addEventListener("hashchange", moved);
addEventListener("pointerdown", (event) => {
  if (app.account && !event.target.closest(".account")) toggle("account");
});
addEventListener(
  "visibilitychange",
  () => document.visibilityState === "visible" && app.session && update(),
);
NARROW.addEventListener("change", redraw);
setInterval(() => app.session && document.visibilityState === "visible" && redraw(), TICK);
draw();
start();
