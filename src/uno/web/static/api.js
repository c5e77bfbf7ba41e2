/**
 * Documents of the API: fetched once, kept until a newer version is announced.
 *
 * `/api/v1/stream` announces versions (server-sent events). Documents in use are then fetched
 * again with their ETag; one that has not changed costs a line.
 */

const BASE = "/api/v1/";
/** In ms. A stream can be dead without an error: the page asks by itself where it is quiet. */
const POLL = 30000;
const RETRY = 3000;

/** What a request was answered with: `error` is what is wrong, `hint` what to do. */
export class Refusal extends Error {
  constructor(status, error, hint = "", after = 0) {
    super(error);
    this.status = status;
    this.hint = hint;
    this.after = after;
  }
}

/** Documents by path: `{data, error, etag, made}`; `made` is on the clock of `performance.now`. */
const documents = new Map();
const pending = new Map();
let onChange = () => {};
let onLoggedOut = () => {};

/** Whether the last request was answered, and when the last document arrived. */
export const connection = { online: true, heard: 0 };

export function listen(changed, loggedOut) {
  onChange = changed;
  onLoggedOut = loggedOut;
}

/** Return the document at `path`, or a placeholder while it is fetched. */
export function doc(path) {
  const have = documents.get(path);
  if (have) return have;
  const fresh = { data: null, error: null, etag: "", made: 0 };
  documents.set(path, fresh);
  refresh(path);
  return fresh;
}

/** Seconds since the document was made. */
export function since(document) {
  return (performance.now() - document.made) / 1000;
}

/** Fetch the given paths again; forget all others. */
export function renew(paths) {
  for (const path of documents.keys()) if (!paths.has(path)) documents.delete(path);
  return Promise.all([...paths].map(refresh));
}

export function forgetAll() {
  documents.clear();
}

/** One request a path at a time: what is asked for meanwhile is asked once more afterwards. */
function refresh(path) {
  const running = pending.get(path);
  if (running) {
    running.again = true;
    return running.promise;
  }
  const job = { again: false, promise: null };
  pending.set(path, job);
  job.promise = fetchOne(path).finally(() => {
    pending.delete(path);
    if (job.again && documents.has(path)) refresh(path);
  });
  return job.promise;
}

async function fetchOne(path) {
  const have = documents.get(path);
  try {
    const answer = await ask(path, have?.etag ? { headers: { "if-none-match": have.etag } } : {});
    const entry = documents.get(path);
    if (!entry) return;
    entry.made = performance.now() - 1000 * Number(answer.headers.get("age") ?? 0);
    if (answer.status !== 304) {
      entry.data = await answer.json();
      entry.etag = answer.headers.get("etag") ?? "";
    }
    entry.error = null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401) return;
    const entry = documents.get(path);
    if (entry) entry.error = error;
  }
  onChange();
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(BASE + path, {
      credentials: "same-origin",
      cache: "no-store",
      ...options,
    });
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    setOnline(false);
    throw new Refusal(
      0,
      "The page's server does not answer.",
      "Check the network between this device and the cell; the page tries again by itself.",
    );
  }
  setOnline(true);
  connection.heard = performance.now();
  if (answer.status === 401 && path !== "login" && !path.endsWith("/config")) {
    onLoggedOut();
    throw new Refusal(401, "Not logged in.");
  }
  if (answer.ok || answer.status === 304) return answer;
  throw await refusal(answer);
}

async function refusal(answer) {
  const after = Number(answer.headers.get("retry-after") ?? 0);
  try {
    const { error, hint } = await answer.json();
    return new Refusal(answer.status, error, hint, after);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return new Refusal(answer.status, `The server answers ${answer.status}.`, "", after);
  }
}

/** POST a JSON body; return the answer's document, null if it has none. */
export async function post(path, body) {
  const answer = await ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  return answer.status === 204 ? null : answer.json();
}

/** GET a document that is not kept. */
export async function get(path) {
  return (await ask(path, {})).json();
}

function setOnline(online) {
  if (connection.online === online) return;
  connection.online = online;
  onChange();
}

let source = null;
let heardVersion = 0;
let watch = 0;

/** Call `changed` at each version of the stream, and now and then where the stream is broken. */
export function follow(changed) {
  unfollow();
  open(changed);
  heardVersion = performance.now();
  watch = setInterval(() => {
    // A browser gives up on an answer that is no stream, such as 503 with too many readers.
    if (source.readyState === EventSource.CLOSED) open(changed);
    const quiet = performance.now() - heardVersion;
    if (quiet < (connection.online ? POLL : RETRY)) return;
    heardVersion = performance.now();
    changed();
  }, RETRY);
}

function open(changed) {
  source = new EventSource(`${BASE}stream`);
  source.addEventListener("version", () => {
    heardVersion = performance.now();
    changed();
  });
  // Whether the server is gone, or the stream alone, shows a request.
  source.addEventListener("error", changed);
}

export function unfollow() {
  source?.close();
  source = null;
  clearInterval(watch);
}
