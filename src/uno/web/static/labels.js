/** Where the words beside a cell of the map stand: on the side where they cover least. */

/** Widths of a character, in pixels: of a name, and of what is below it. */
const NAME = 8.2;
const REST = 6.9;
const LINE = 15;

/**
 * The place of a label of `name` and `lines` at a cell: `{x, y, anchor, box}`, `y` of its first line.
 *
 * `at` is the cell, with its radius; `room` has the width and height of the map, the places of all
 * cells, the links as pairs of places, and the boxes that are `taken`.
 */
export function label(name, lines, at, room) {
  const wide = Math.max(NAME * name.length, ...lines.map((line) => REST * line.length));
  const high = 16 + LINE * lines.length;
  const gap = at.radius + 10;
  const middle = at.y + 5 - (LINE * lines.length) / 2;
  const centre = Math.min(Math.max(at.x, wide / 2 + 4), room.width - wide / 2 - 4);
  const sides = [
    { x: at.x + gap, y: middle, anchor: "start", left: at.x + gap, away: at.x - room.width / 2 },
    {
      x: at.x - gap,
      y: middle,
      anchor: "end",
      left: at.x - gap - wide,
      away: room.width / 2 - at.x,
    },
    {
      x: centre,
      y: at.y + gap + 10,
      anchor: "middle",
      left: centre - wide / 2,
      away: at.y - room.height / 2,
    },
    {
      x: centre,
      y: at.y - gap - LINE * lines.length,
      anchor: "middle",
      left: centre - wide / 2,
      away: room.height / 2 - at.y,
    },
  ];
  let best = null;
  for (const side of sides) {
    const top = side.y - 13;
    const box = { left: side.left, right: side.left + wide, top, bottom: top + high };
    const cost = covered(box, at, room) - side.away / 1000;
    if (!best || cost < best.cost) best = { ...side, box, cost };
  }
  room.taken.push(best.box);
  return best;
}

/** How much a box covers: what does not fit counts most, then other words, cells and links. */
function covered(box, at, room) {
  const out =
    Math.max(0, -box.left) +
    Math.max(0, box.right - room.width) +
    Math.max(0, -box.top) +
    Math.max(0, box.bottom - room.height);
  let cost = out > 0 ? 20 + out : 0;
  for (const other of room.taken) {
    const apart =
      other.right < box.left ||
      box.right < other.left ||
      other.bottom < box.top ||
      box.bottom < other.top;
    if (!apart) cost += 8;
  }
  for (const place of room.places) {
    if (place !== at.place && holds(box, place.x, place.y, at.radius + 3)) cost += 6;
  }
  for (const [from, to] of room.links) if (crosses(box, from, to)) cost += 3;
  return cost;
}

function holds(box, x, y, margin) {
  return (
    x > box.left - margin &&
    x < box.right + margin &&
    y > box.top - margin &&
    y < box.bottom + margin
  );
}

/** Whether a line crosses a box (Liang and Barsky's clipping). */
function crosses(box, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  let [low, high] = [0, 1];
  for (const [step, room] of [
    [-dx, from.x - box.left],
    [dx, box.right - from.x],
    [-dy, from.y - box.top],
    [dy, box.bottom - from.y],
  ]) {
    if (step === 0 && room < 0) return false;
    if (step < 0) low = Math.max(low, room / step);
    if (step > 0) high = Math.min(high, room / step);
  }
  return low <= high;
}
