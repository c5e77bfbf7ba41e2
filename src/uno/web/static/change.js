/** What is being rolled out, what was undone and why, and what is not released. */

import { h } from "./dom.js";
import { NONE, age, count, plural } from "./format.js";
import { CELL, empty, heading, link, meter, panel, prose, shape, state, table } from "./parts.js";

export const needs = () => [];

export function view({ summary, elapsed }) {
  const due = summary.cells.filter((cell) => cell.package != null);
  // What a cell without contact runs by now is not known.
  const isLost = (cell) => cell.health === "silent" || cell.health === "never";
  const running = due.filter((cell) => cell.generation === cell.package && !isLost(cell));
  const lost = due.filter(isLost).length;
  const differing = summary.cells.filter(
    (cell) =>
      isLost(cell) ||
      cell.generation !== cell.package ||
      cell.staged != null ||
      cell.health === "behind",
  );
  const all = summary.cells.length;
  return [
    heading("Change", `Generation ${summary.generation} is in force.`),
    h(
      "div",
      { class: "steps" },
      step(
        summary.rollout ? "part" : "ok",
        "Roll-out",
        summary.rollout || "Nothing is being rolled out.",
        all > 0 &&
          h(
            "div",
            { class: "progress" },
            meter([
              ["ok", running.length],
              ["part", differing.filter((cell) => cell.staged != null).length],
              [
                "none",
                Math.max(
                  0,
                  all - running.length - differing.filter((cell) => cell.staged != null).length,
                ),
              ],
            ]),
            h(
              "p",
              { class: "dim small" },
              due.length
                ? `${count(running.length)} of ${plural(all, "cell")} ${all === 1 ? "runs" : "run"} the generation that they should${lost ? `; of ${count(lost)} it is not known` : ""}`
                : `Which generation cells should run is not known here: ${
                    summary.viewer
                      ? "the registry's announcement has not arrived."
                      : "the registry's agent does not run."
                  }`,
            ),
          ),
      ),
      summary.undone
        ? step(
            "warn",
            `Generation ${summary.undone.generation} was undone`,
            prose(summary.undone.reason || "No reason was given."),
            h(
              "p",
              { class: "remedy" },
              prose(
                "Cells run the one before. Correct the cause, then make the change again and run `uno sync`.",
              ),
            ),
          )
        : step("ok", "Undone", "The newest generation was not undone."),
      summary.waiting > 0
        ? step(
            "info",
            `${plural(summary.waiting, "change")} not released`,
            prose(
              "No cell has what was changed at the registry. Release it with `uno sync`; it is listed by `uno status` there.",
            ),
          )
        : step("ok", "Not released", "The registry has no change that waits for a release."),
      step(
        summary.registry ? "ok" : "warn",
        "Registry",
        summary.registry
          ? summary.viewer
            ? "Its announcements arrive."
            : "Its agent runs."
          : prose(
              `${summary.viewer ? "Its announcements do not arrive" : "Its agent does not run"}. The network works without it; changes do not. At the registry: \`uno agent\`.`,
            ),
      ),
    ),
    differing.length === 0
      ? all
        ? empty(`All cells run generation ${summary.generation}`, null)
        : null
      : panel(
          "Cells that differ or have no contact",
          { tight: true, id: "differing", note: plural(differing.length, "cell") },
          table(
            "Cells that differ or have no contact",
            [
              { title: "Cell", head: true, cell: (cell) => link(`#/cells/${cell.id}`, cell.name) },
              { title: "State", cell: (cell) => state(CELL[cell.health]) },
              { title: "Runs", num: true, cell: (cell) => count(cell.generation) },
              { title: "Should run", num: true, cell: (cell) => count(cell.package) },
              { title: "Staged", num: true, cell: (cell) => count(cell.staged) },
              {
                title: "Seen",
                num: true,
                cell: (cell) => (cell.age == null ? "never" : age(cell.age + elapsed)),
              },
              { title: "Why", wrap: true, cell: (cell) => cell.why || NONE },
            ],
            differing,
            { stack: true, key: (cell) => cell.id },
          ),
        ),
  ];
}

function step(kind, title, text, ...more) {
  return h(
    "section",
    { class: `step t-${kind}`, key: title },
    shape(kind),
    h("div", {}, h("h2", {}, title), h("p", {}, text), ...more),
  );
}
