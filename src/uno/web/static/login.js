/** The login form. */

import { h } from "./dom.js";
import { Refusal, connection, post } from "./api.js";
import { icon } from "./parts.js";

const ui = { error: null, busy: false, wait: 0, timer: 0 };

export function loginView({ ended, loggedIn, redraw }) {
  return h(
    "main",
    { class: "login", id: "main" },
    h(
      "form",
      {
        class: "login-card",
        method: "post",
        onsubmit: (event) => submit(event, loggedIn, redraw),
        "aria-labelledby": "login-title",
      },
      h("div", { class: "login-brand" }, icon("i-logo", "logo"), h("span", {}, location.hostname)),
      h("h1", { id: "login-title", tabindex: "-1" }, "Log in"),
      h(
        "p",
        { class: "dim" },
        ended ? "Your session has ended." : "With your e-mail and password of this UVN.",
      ),
      h(
        "label",
        {},
        "E-mail",
        h("input", {
          type: "email",
          name: "email",
          autocomplete: "username",
          required: true,
          mount: (node) => node.focus(),
        }),
      ),
      h(
        "label",
        {},
        "Password",
        h("input", {
          type: "password",
          name: "password",
          autocomplete: "current-password",
          required: true,
        }),
      ),
      h("p", { class: "error", role: "alert" }, said()),
      h(
        "button",
        { class: "primary", disabled: ui.busy || ui.wait > 0 },
        ui.wait > 0 ? `Wait ${ui.wait} s` : ui.busy ? "Logging in…" : "Log in",
      ),
      h(
        "p",
        { class: "dim small" },
        "No password yet? At the registry: ",
        h("code", {}, "uno config user"),
        ", then ",
        h("code", {}, "uno sync"),
        ". Does the browser warn of this page? It does not know the ",
        h("a", { href: "/ca" }, "UVN's certificate"),
        ".",
      ),
    ),
  );
}

function said() {
  if (!connection.online)
    return "The server does not answer. Check the network between this device and the cell.";
  if (!ui.error) return null;
  return [ui.error.message, ui.error.hint && ` ${ui.error.hint}`];
}

async function submit(event, loggedIn, redraw) {
  event.preventDefault();
  const form = event.target;
  const { email, password } = Object.fromEntries(new FormData(form));
  Object.assign(ui, { busy: true, error: null });
  redraw();
  try {
    const session = await post("login", { email, password });
    form.reset();
    loggedIn(session);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    ui.error = error;
    form.elements.password.value = "";
    form.elements.password.focus();
    if (error.after > 0) countDown(error.after, redraw);
  } finally {
    ui.busy = false;
    redraw();
  }
}

function countDown(seconds, redraw) {
  clearInterval(ui.timer);
  ui.wait = Math.ceil(seconds);
  ui.timer = setInterval(() => {
    ui.wait -= 1;
    if (ui.wait <= 0) clearInterval(ui.timer);
    redraw();
  }, 1000);
}
