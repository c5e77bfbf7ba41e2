/** Particles, and the reader's own configurations behind the password. */

import { h } from "./dom.js";
import { Refusal, post } from "./api.js";
import { NONE, age, octets, plural } from "./format.js";
import {
  ONLINE,
  cellLink,
  empty,
  filterBar,
  filtered,
  heading,
  icon,
  listed,
  panel,
  prose,
  state,
  table,
} from "./parts.js";

/** A configuration is on the screen for so long, in ms. */
const SHOWN = 180000;
/** The dialog: `particle` that it is about, and `given`, its configuration once the server gave it. */
const ui = { particle: null, given: null, error: null, busy: false, timer: 0, copied: false };

const WORDS = {
  online: ["ok", "online"],
  offline: ["off", "offline"],
  unknown: ["off", "not known"],
  banned: ["bad", "banned"],
};

export const needs = () => ["particles"];

export function view({ doc, waiting, cells, elapsed, reader, redraw }) {
  const document = doc("particles");
  const lead = "Phones and laptops that connect with a stock WireGuard app.";
  if (!document.data) return [heading("Particles", lead), waiting(document)];
  const list = document.data;
  const stateOf = (one) =>
    one.banned ? "banned" : one.online == null ? "unknown" : one.online ? "online" : "offline";
  const rows = filtered(
    "particles",
    list.particles,
    (one) => `${one.name} ${one.owner} ${one.address4} ${one.address6}`,
    stateOf,
  );
  if (!list.enabled)
    return [
      heading("Particles", lead),
      empty(
        "No VPN for particles",
        prose("It is switched off in this UVN: `settings.enable_particles_vpn`."),
        "off",
      ),
    ];
  if (list.particles.length === 0)
    return [
      heading("Particles", lead),
      empty(
        "No particles",
        prose("None is defined, or none is yours. At the registry: `uno define particle`."),
        "off",
      ),
    ];
  return [
    heading("Particles", lead),
    filterBar("particles", {
      rows: list.particles,
      stateOf,
      words: WORDS,
      what: "particles",
      shown: rows.length,
      redraw,
    }),
    rows.length === 0
      ? empty("No particle matches", "Change the search, or choose another state.", "off")
      : panel(
          "List of particles",
          { tight: true, id: "particles" },
          table(
            "Particles",
            [
              {
                title: "Particle",
                head: true,
                cell: (one) => [one.name, one.own && h("span", { class: "tag" }, "yours")],
              },
              {
                title: "State",
                cell: (one) => state(one.banned ? WORDS.banned : ONLINE(one.online)),
              },
              { title: "At", cell: (one) => (one.at == null ? NONE : cellLink(cells, one.at)) },
              {
                title: "Handshake",
                num: true,
                hide: 1,
                cell: (one) => (one.handshake == null ? NONE : age(one.handshake + elapsed)),
              },
              { title: "In", num: true, hide: 1, cell: (one) => octets(one.received) },
              { title: "Out", num: true, hide: 1, cell: (one) => octets(one.sent) },
              { title: "Owner", hide: 2, cell: (one) => one.owner || NONE },
              {
                title: "Address",
                hide: 2,
                cell: (one) => (one.address4 ? h("code", {}, one.address4) : NONE),
              },
              { title: "Configuration", cell: (one) => configuration(one, redraw) },
            ],
            rows,
            { stack: true, key: (one) => one.id },
          ),
        ),
    list.left_out > 0 &&
      h(
        "p",
        { class: "dim pad" },
        `${plural(list.left_out, "particle")} more: the registry's machine lists all.`,
      ),
    ui.particle && dialog(cells, reader, redraw),
  ];
}

function configuration(one, redraw) {
  if (!one.own || one.banned) return NONE;
  if (!one.cells.some((each) => each.here))
    return h("span", { class: "dim" }, one.cells.length ? "at another cell" : NONE);
  return h(
    "button",
    {
      type: "button",
      class: "small",
      onclick: () => {
        Object.assign(ui, { particle: one, given: null, error: null, busy: false, copied: false });
        redraw();
      },
    },
    "Show",
    h("span", { class: "sr" }, ` configuration of ${one.name}`),
  );
}

function dialog(cells, reader, redraw) {
  const one = ui.particle;
  const close = () => {
    clearTimeout(ui.timer);
    Object.assign(ui, { particle: null, given: null, error: null });
    redraw();
  };
  return h(
    "dialog",
    {
      class: "sheet",
      key: "configuration",
      "aria-labelledby": "configuration-title",
      mount: (node) => {
        const before = document.activeElement;
        node.showModal();
        return () => before?.isConnected && before.focus();
      },
      onclose: close,
      // On the ground around it. A handler that returns false would undo the click on a button inside.
      onclick: (event) => {
        if (event.target === event.currentTarget) close();
      },
    },
    h(
      "div",
      { class: "sheet-body" },
      h(
        "div",
        { class: "sheet-head" },
        h(
          "h2",
          { id: "configuration-title" },
          ui.given ? `${one.name} at ${ui.given.cell}` : `Configuration of ${one.name}`,
        ),
        h(
          "button",
          { type: "button", class: "icon-button", "aria-label": "Close", onclick: close },
          icon("i-close"),
        ),
      ),
      ui.given ? shown(redraw) : asked(one, reader, redraw),
      one.cells.some((each) => !each.here) &&
        h(
          "p",
          { class: "dim small" },
          "Other cells have a configuration of their own for it: ",
          listed(one.cells.filter((each) => !each.here).map((each) => cellLink(cells, each.cell))),
          ". All of them: ",
          h("code", {}, `uno show particle ${one.name} --qr`),
          " at the registry.",
        ),
    ),
  );
}

function asked(one, reader, redraw) {
  return h(
    "form",
    { class: "stack", method: "post", onsubmit: (event) => submit(event, one, redraw) },
    h(
      "p",
      {},
      "It holds the particle's private key. Your password opens it; it is shown once, and stored nowhere.",
    ),
    h("input", {
      type: "text",
      name: "username",
      autocomplete: "username",
      value: reader,
      hidden: true,
      readonly: true,
    }),
    h(
      "label",
      {},
      "Password",
      h("input", {
        type: "password",
        name: "password",
        autocomplete: "current-password",
        required: true,
        autofocus: true,
      }),
    ),
    h(
      "p",
      { class: "error", role: "alert" },
      ui.error && [ui.error.message, ui.error.hint && ` ${ui.error.hint}`],
    ),
    h("button", { class: "primary", disabled: ui.busy }, ui.busy ? "Opening…" : "Show it"),
  );
}

async function submit(event, one, redraw) {
  event.preventDefault();
  const form = event.target;
  const password = new FormData(form).get("password");
  Object.assign(ui, { busy: true, error: null });
  redraw();
  try {
    const given = await post(`particles/${one.id}/config`, { password });
    if (ui.particle !== one) return;
    ui.given = given;
    ui.timer = setTimeout(() => {
      ui.particle = null;
      ui.given = null;
      redraw();
    }, SHOWN);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    ui.error = error;
    form.reset();
  } finally {
    ui.busy = false;
    redraw();
  }
}

function shown(redraw) {
  const { name, conf, qr, file } = ui.given;
  const copy = async () => {
    await navigator.clipboard.writeText(conf);
    ui.copied = true;
    redraw();
  };
  return h(
    "div",
    { class: "stack" },
    h("p", {}, "Scan it in the WireGuard app: Add tunnel, Scan from QR code."),
    h("img", {
      class: "qr",
      alt: `QR code with the configuration of ${name}`,
      src: `data:image/svg+xml,${encodeURIComponent(qr)}`,
    }),
    h("details", {}, h("summary", {}, "As text"), h("pre", { tabindex: "0" }, conf)),
    h(
      "div",
      { class: "row" },
      h(
        "a",
        {
          class: "button",
          download: file,
          href: `data:text/plain;charset=utf-8,${encodeURIComponent(conf)}`,
        },
        "Save as a file",
      ),
      navigator.clipboard &&
        h("button", { type: "button", onclick: copy }, ui.copied ? "Copied" : "Copy"),
    ),
    h("p", { class: "dim small" }, "It leaves the screen after three minutes."),
  );
}
