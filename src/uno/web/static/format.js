/** Values as text. What is not known is a dash, never a number. */

export const NONE = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const day = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });

export function count(n) {
  return n == null ? NONE : whole.format(n);
}

/** `1 link`, `2 links`. */
export function plural(n, word, many = `${word}s`) {
  return `${count(n)} ${n === 1 ? word : many}`;
}

/** An age or a duration in seconds, in one unit: the largest of which there are two. */
export function age(seconds) {
  if (seconds == null) return NONE;
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** A round-trip time in milliseconds. */
export function ms(rtt) {
  if (rtt == null) return NONE;
  if (rtt > 0 && rtt < 10) return `${rtt.toFixed(1)} ms`;
  return `${Math.round(rtt)} ms`;
}

/** A share from 0 to 1. What is above nothing is never shown as nothing. */
export function percent(share) {
  if (share == null) return NONE;
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${Math.round(share * 100)} %`;
}

const DECIMAL = ["", "k", "M", "G", "T", "P"];

function scaled(value, unit) {
  let at = 0;
  let v = value;
  while (v >= 999.5 && at < DECIMAL.length - 1) {
    v /= 1000;
    at += 1;
  }
  const digits = at === 0 || v >= 100 ? 0 : 1;
  return `${v.toFixed(digits)} ${DECIMAL[at]}${unit}`;
}

/** Octets. */
export function octets(n) {
  return n == null ? NONE : scaled(n, "B");
}

/** Octets per second, shown in bits per second. */
export function rate(n) {
  return n == null ? NONE : scaled(n * 8, "b/s");
}

export function timeOfDay(seconds) {
  return clock.format(new Date(seconds * 1000));
}

/** The day of a time, `Today` and `Yesterday` by name. */
export function dayOf(seconds, now = Date.now()) {
  const at = new Date(seconds * 1000);
  const days = Math.round((midnight(new Date(now)) - midnight(at)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return day.format(at);
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** Whether each word of `query` is in `text`, in any case. */
export function matches(query, text) {
  const low = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => low.includes(word));
}
