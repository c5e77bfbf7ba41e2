/** Ports of cells as a table. */

import { NONE } from "./format.js";
import { cellLink, state, table } from "./parts.js";

/**
 * `cells` names the cell of each port, null where all are of one. Unless `mixed`, all are to be
 * forwarded.
 */
export function portTable(ports, cells, { mixed = true } = {}) {
  return table(
    "Ports",
    [
      {
        title: "Port",
        head: true,
        cell: (row) =>
          `${row.protocol.toUpperCase()} ${row.last > row.port ? `${row.port}–${row.last}` : row.port}`,
      },
      cells && { title: "Cell", cell: (row) => cellLink(cells, row.cell) },
      { title: "For", wrap: true, cell: (row) => row.purpose },
      mixed && {
        title: "From the Internet",
        cell: (row) => (row.forward ? state(["info", "forward"]) : NONE),
      },
    ].filter(Boolean),
    ports,
    { stack: true, key: (row) => `${row.cell} ${row.protocol} ${row.port} ${row.purpose}` },
  );
}
