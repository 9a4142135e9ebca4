// The connection to the API: a stream of statuses, or polling where there is none.
//
// A stream is read with fetch, because EventSource sends no Authorization header.

const QUIET_MILLISECONDS_MAX = 40_000; // the server sends a heartbeat every 15 seconds
const POLL_MILLISECONDS = 15_000;
const POLLS_PER_STREAM = 20;
const AGAIN_MILLISECONDS = [1_000, 2_000, 5_000, 10_000, 30_000];
const NO_STREAM = new Set([404, 405, 406, 501, 503]);
const UNAUTHORIZED = 401;

/** What the API answers, or does not. */
export class ApiError extends Error {}

/** The server does not take the credential (any more). */
export class SignedOut extends ApiError {}

/** The server refuses the question; asking again would not help. */
class Refused extends ApiError {}

/** The server cannot answer now. `afterMilliseconds` is how long it asks to wait. */
class Away extends ApiError {
  constructor(message, afterMilliseconds = 0) {
    super(message);
    this.afterMilliseconds = afterMilliseconds;
  }
}

/** The document of a response. */
export function bodyOf(response) {
  return response.json().catch((error) => {
    throw new Away(String(error));
  });
}

/** Asks one API for one user. */
export class Api {
  #base;
  #user;
  #token;
  #held = null;

  /**
   * `base` is the URL above `v1/`. `user` is the id that a service asks for; null for the user of the token.
   * `token` is the credential, or a function that gives one or a promise of one.
   */
  constructor(base, user, token) {
    this.#base = base;
    this.#user = user;
    this.#token = token;
  }

  /** Ask for something of the user: `status`, `status/stream`, `explain`. */
  own(what, query, options) {
    const whose = this.#user === null ? "v1/me" : `v1/users/${encodeURIComponent(this.#user)}`;
    return this.get(`${whose}/${what}`, query, options);
  }

  /** Ask for another token before the next question, if it can be had. */
  renew() {
    if (typeof this.#token === "function") this.#held = null;
  }

  /** Answer with the response if it is one of success or among `taken`; throw otherwise. */
  async get(path, query = {}, { headers = {}, signal, taken = new Set() } = {}) {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    let response = await this.#send(url, headers, signal);
    if (response.status === UNAUTHORIZED && typeof this.#token === "function") {
      this.renew();
      response = await this.#send(url, headers, signal);
    }
    if (response.ok || taken.has(response.status)) return response;
    const problem = await response.json().catch(() => ({}));
    const told = problem.detail ?? `${response.status} ${response.statusText}`;
    if (response.status === UNAUTHORIZED) throw new SignedOut(told);
    if (response.status < 500 && response.status !== 429 && response.status !== 408) throw new Refused(told);
    throw new Away(told, 1_000 * (Number(response.headers.get("retry-after")) || 0));
  }

  async #send(url, headers, signal) {
    this.#held ??= typeof this.#token === "function" ? await this.#token() : this.#token;
    if (!this.#held) throw new SignedOut("no token");
    try {
      return await fetch(url, { headers: { ...headers, authorization: `Bearer ${this.#held}` }, signal, cache: "no-store", credentials: "omit" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Away(String(error));
    }
  }
}

/**
 * Follows a user's status until it is stopped.
 *
 * `told` gets each status and may return a promise, `heard` is called whenever the server confirms the last one, `away` when it does not
 * answer, and `ended` with the error after which nothing more is tried.
 */
export class Feed {
  #api;
  #query;
  #follow;
  #on;
  #stopping = null;
  #etag = null;

  constructor(api, query, follow, { told, heard, away, ended }) {
    this.#api = api;
    this.#query = query;
    this.#follow = follow;
    this.#on = { told, heard, away, ended };
  }

  start() {
    if (this.#stopping !== null) return;
    this.#stopping = new AbortController();
    // Whoever begins wants all of it.
    this.#etag = null;
    this.#run(this.#stopping.signal);
  }

  stop() {
    this.#stopping?.abort();
    this.#stopping = null;
  }

  async #run(signal) {
    let failures = 0;
    let polls = 0;
    while (!signal.aborted) {
      try {
        const streamed = this.#follow && polls === 0 && (await this.#stream(signal, () => (failures = 0)));
        if (streamed) {
          await pause(AGAIN_MILLISECONDS[0], signal);
        } else {
          await this.#ask(signal);
          failures = 0;
          if (!this.#follow) return;
          await pause(POLL_MILLISECONDS, signal);
          polls = (polls + 1) % POLLS_PER_STREAM;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Away)) {
          this.#on.ended(error);
          return;
        }
        this.#on.away();
        const least = AGAIN_MILLISECONDS[Math.min(failures, AGAIN_MILLISECONDS.length - 1)];
        failures += 1;
        // Everyone who lost the same server must not come back at the same moment.
        await pause(Math.max(error.afterMilliseconds, least) * (1 + Math.random() / 4), signal);
      }
    }
  }

  async #ask(signal) {
    const headers = this.#etag === null ? {} : { "if-none-match": this.#etag };
    const response = await this.#api.own("status", this.#query, { headers, signal, taken: new Set([304]) });
    if (response.status === 304) return this.#on.heard();
    await this.#on.told(await bodyOf(response));
    this.#etag = response.headers.get("etag");
  }

  /** Read a stream to its end; return false if the server has none to give. */
  async #stream(signal, began) {
    const headers = { accept: "text/event-stream" };
    const quiet = new AbortController();
    const both = AbortSignal.any([signal, quiet.signal]);
    const response = await this.#api.own("status/stream", this.#query, { headers, signal: both, taken: NO_STREAM });
    if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      await response.body?.cancel();
      return false;
    }
    let timer;
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), QUIET_MILLISECONDS_MAX);
    };
    try {
      listen();
      for await (const { event, data, id } of eventsOf(response.body, listen)) {
        if (event === "end") {
          this.#api.renew();
          break;
        }
        if (event === "status") {
          await this.#on.told(JSON.parse(data));
          this.#etag = id;
          began();
        } else {
          this.#on.heard();
        }
      }
      return true;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The server-sent events of a body; a comment is an event without a name. */
async function* eventsOf(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw new Away(String(error));
      });
      if (done) return;
      heard();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = { event: null, data: "", id: null };
        for (const line of block.split("\n")) {
          const [, name, told] = /^(\w*): ?(.*)$/.exec(line) ?? [];
          if (name in fields) fields[name] = told;
        }
        yield fields;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
