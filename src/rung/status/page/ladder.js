// <rung-ladder>: a user's rate in force and this period's progress, kept current.
//
// Attributes: lang (else that of the page around it), theme (light or dark; else the page's color scheme),
// base (the URL above v1/; else that of this file), campaign, result-days (how many days after its end a
// period's result is expected), user and at (for a service's key: whose status, and of which day).
// Properties: token (a text, or a function that gives one or a promise of one), labels (names of measures,
// steps and conditions, by language or for all). Events: rung-status (detail: the status), rung-signed-out.

import { button, campaignSection, element, morph, note } from "./cards.js";
import { Api, ApiError, Feed, SignedOut, bodyOf } from "./feed.js";
import { dayIn, timeName } from "./figures.js";
import { causeIn, paymentsOf } from "./payments.js";
import { Memory, cardsOf, freshness } from "./progress.js";
import { sheet } from "./style.js";
import { languageOf, wordsOf } from "./words.js";

const SKELETON_MILLISECONDS = 400;
const ANNOUNCE_MILLISECONDS = 30_000;
const MINUTE_MILLISECONDS = 60_000;
const DAY = /^\d{4}-\d\d-\d\d$/;

export class RungLadder extends HTMLElement {
  static observedAttributes = ["lang", "theme", "base", "campaign", "result-days", "user", "at"];

  #token = null;
  #labels = {};
  #api = null;
  #feed = null;
  #status = null;
  #campaigns = new Map();
  #memory = new Memory();
  #met = new Map();
  #causes = new Map();
  #explained = new Map();
  #failure = null;
  #heardAt = null;
  #isAway = false;
  #isSlow = false;
  #announcer = new Announcer((text) => (this.#said.textContent = text));
  #minute;
  #skeleton;
  #root = element("div", { class: "all" });
  #said = element("p", { class: "unseen", role: "status" });
  #onVisibility = () => this.#follow();

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.#root, this.#said);
    shadow.addEventListener("click", (event) => this.#clicked(event));
    // `toggle` does not bubble.
    shadow.addEventListener("toggle", (event) => this.#toggled(event.target), true);
  }

  get token() {
    return this.#token;
  }

  /** What the API is asked with. A new one starts all over. */
  set token(token) {
    this.#token = token;
    this.#restart();
  }

  get labels() {
    return this.#labels;
  }

  set labels(labels) {
    this.#labels = labels ?? {};
    this.#render();
  }

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#onVisibility);
    // A period may end while the page stands open.
    this.#minute = setInterval(() => this.#render(), MINUTE_MILLISECONDS);
    // What a host page has set before this file was there.
    for (const name of ["labels", "token"]) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    this.#restart();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#onVisibility);
    clearInterval(this.#minute);
    clearTimeout(this.#skeleton);
    this.#announcer.stop();
    this.#feed?.stop();
  }

  attributeChangedCallback(name, before, now) {
    if (!this.isConnected || before === now) return;
    if (["base", "user", "at", "campaign"].includes(name)) this.#restart();
    else this.#render();
  }

  /** Ask again, as after an error. What is shown stays until there is an answer. */
  refresh() {
    this.#failure = null;
    if (this.#status === null) this.#isAway = false;
    this.#feed?.stop();
    this.#follow();
    this.#render();
  }

  get #words() {
    const told = this.closest("[lang]")?.lang || navigator.language;
    return wordsOf(languageOf(told), this.#labels);
  }

  get #now() {
    const at = this.getAttribute("at");
    // A day without a time begins in the campaign's zone; noon in UTC is that day in nearly all.
    return at ? new Date(DAY.test(at) ? `${at}T12:00:00Z` : at) : new Date();
  }

  #restart() {
    if (!this.isConnected) return;
    this.#feed?.stop();
    this.#feed = null;
    this.#failure = null;
    this.#isAway = false;
    this.#status = null;
    this.#memory = new Memory();
    this.#met.clear();
    this.#causes.clear();
    this.#explained.clear();
    if (this.#token) {
      this.#isSlow = false;
      clearTimeout(this.#skeleton);
      this.#skeleton = setTimeout(() => {
        this.#isSlow = true;
        this.#render();
      }, SKELETON_MILLISECONDS);
      const base = new URL(this.getAttribute("base") ?? "..", this.hasAttribute("base") ? document.baseURI : import.meta.url);
      this.#api = new Api(base, this.getAttribute("user"), this.#token);
      const query = { at: this.getAttribute("at"), campaign: this.getAttribute("campaign") };
      this.#feed = new Feed(this.#api, query, !query.at, {
        told: (status) => this.#told(status),
        heard: () => this.#heard(),
        away: () => this.#away(),
        ended: (error) => this.#ended(error),
      });
    }
    this.#follow();
    this.#render();
  }

  #follow() {
    if (document.hidden) this.#feed?.stop();
    else this.#feed?.start();
  }

  async #told(status) {
    const feed = this.#feed;
    if (!status.campaigns.every((one) => this.#describes(one))) {
      const { campaigns } = await bodyOf(await this.#api.get("v1/campaigns"));
      if (feed !== this.#feed) return;
      this.#campaigns = new Map(campaigns.map((campaign) => [campaign.campaign, campaign]));
    }
    this.#announce(status);
    this.#memory.note(status);
    const before = this.#status;
    this.#status = status;
    this.#heard();
    this.#findCauses(before);
    for (const details of this.#root.querySelectorAll("details[open]")) this.#explain(details.dataset);
    this.dispatchEvent(new CustomEvent("rung-status", { detail: status, bubbles: true, composed: true }));
  }

  /** Whether the description that is held has the versions of a campaign's status. */
  #describes({ campaign, counting, effective }) {
    const versions = this.#campaigns.get(campaign)?.versions.map((one) => one.version);
    return versions !== undefined && [counting, effective].every((part) => part === null || versions.includes(part.version));
  }

  #heard() {
    if (this.#isAway) this.#announcer.say(this.#words.updated);
    this.#isAway = false;
    this.#failure = null;
    this.#heardAt = new Date();
    this.#render();
  }

  #away() {
    if (!this.#isAway) this.#announcer.say(this.#status === null ? this.#words.error : this.#staleWords());
    this.#isAway = true;
    this.#render();
  }

  #ended(error) {
    this.#feed?.stop();
    // Not the API's answer but a mistake of this program: whoever watches the page's errors has to see it.
    if (!(error instanceof ApiError)) reportError(error);
    this.#failure = error;
    this.#announcer.say(error instanceof SignedOut ? this.#words.signedOut : this.#words.error);
    if (error instanceof SignedOut) {
      // What a user may see no more is not left on the screen.
      this.#status = null;
      this.dispatchEvent(new CustomEvent("rung-signed-out", { bubbles: true, composed: true }));
    }
    this.#render();
  }

  /** Say which steps were reached or lost since the last status. */
  #announce(status) {
    const words = this.#words;
    for (const { campaign, counting } of status.campaigns) {
      for (const step of counting?.steps ?? []) {
        const key = `${campaign}/${counting.period}/${step.name}`;
        const before = this.#met.get(key);
        if (before !== undefined && before !== step.met) {
          this.#announcer.say(step.met ? words.nowReached(words.name(step.name)) : words.nowLost(words.name(step.name)));
        }
        this.#met.set(key, step.met);
      }
    }
  }

  #staleWords() {
    const zone = this.#campaigns.values().next().value?.timezone ?? "UTC";
    return this.#words.stale(timeName(this.#heardAt, zone, dayIn(zone, new Date()), this.#words.language));
  }

  #render() {
    const words = this.#words;
    this.#said.lang = words.language;
    const made = element("div", { class: "all", lang: words.language }, this.#content(words));
    morph(this.#root, made);
  }

  #content(words) {
    if (this.#failure instanceof SignedOut) return note({ kind: "warn", text: words.signedOut });
    if (this.#failure !== null || (this.#isAway && this.#status === null)) {
      return note({ kind: "danger", text: words.error }, button("retry", words.retry));
    }
    if (this.#status === null) {
      return this.#isSlow && this.#token ? element("div", { class: "waiting", "aria-busy": "true" }, element("p", { class: "unseen" }, words.loading)) : null;
    }
    const now = this.#now;
    const resultDays = this.hasAttribute("result-days") ? Number(this.getAttribute("result-days")) : null;
    const causeOf = (campaign, period) => this.#causes.get(`${campaign}/${period}`);
    const told = this.#status.campaigns;
    const campaigns = told.map(({ campaign }) => this.#campaigns.get(campaign));
    const sections = told.map((one, index) =>
      campaignSection(
        cardsOf(one, campaigns[index], { words, now, memory: this.#memory, resultDays, causeOf }),
        words,
        (key) => this.#shownOf(key, campaigns[index], words),
        told.length > 1,
      ),
    );
    return [
      this.#isAway ? note({ kind: "warn", text: this.#staleWords() }, button("retry", words.retry)) : null,
      told.length === 0 ? note({ kind: "plain", text: words.noCampaign }) : sections,
      element(
        "div",
        { class: "foot" },
        element("p", {}, freshness(this.#status, campaigns, { words, now: new Date() })),
        this.#status.as_of.pending ? element("p", { class: "pending" }, words.pending) : null,
      ),
    ];
  }

  /** What the details of a period show; undefined as long as nobody has opened them. */
  #shownOf(key, campaign, words) {
    const explained = this.#explained.get(key);
    return explained?.state === "told" ? paymentsOf(explained.transactions, campaign, { words, now: this.#now }) : explained;
  }

  #clicked({ target }) {
    const action = target.closest("[data-do]")?.dataset.do;
    if (action === "retry") this.refresh();
    if (action === "explain") this.#explain(target.closest("details").dataset);
  }

  #toggled(details) {
    if (details.open) this.#explain(details.dataset);
  }

  /** Ask what each payment of a period counts for. What is shown stays until there is something newer. */
  async #explain({ campaign, period, version }) {
    const key = `${campaign}/${period}/${version}`;
    const feed = this.#feed;
    if (this.#explained.get(key)?.state !== "told") this.#explained.set(key, { state: "loading" });
    this.#render();
    try {
      const transactions = await this.#transactionsOf(campaign, period);
      if (feed !== this.#feed) return;
      this.#explained.set(key, { state: "told", transactions });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // The person can only try again; the cards do not depend on it, and what is shown stays.
      if (feed !== this.#feed || this.#explained.get(key).state === "told") return;
      this.#explained.set(key, { state: "failed" });
    }
    this.#render();
  }

  /** Where figures fell, find the refund or cancellation behind it: a loss is told with its cause. */
  async #findCauses(before) {
    const feed = this.#feed;
    for (const { campaign, counting } of this.#status.campaigns) {
      const last = before?.campaigns.find((one) => one.campaign === campaign)?.counting;
      if (!counting || last?.period !== counting.period || last.version !== counting.version) continue;
      if (!Object.entries(counting.measures).some(([measure, value]) => value < last.measures[measure])) continue;
      try {
        const cause = causeIn(await this.#transactionsOf(campaign, counting.period), this.#campaigns.get(campaign));
        if (feed !== this.#feed) return;
        if (cause) this.#causes.set(`${campaign}/${counting.period}`, cause);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // Not told, or not now: the loss stands there without the payment's name.
        continue;
      }
      this.#render();
    }
  }

  async #transactionsOf(campaign, period) {
    return (await bodyOf(await this.#api.own("explain", { campaign, period }))).transactions;
  }
}

/** Says what changed to those who cannot see it: never more often than they can hear it, and the newest only. */
class Announcer {
  #say;
  #waiting = null;
  #timer = null;

  constructor(say) {
    this.#say = say;
  }

  say(text) {
    if (this.#timer !== null) {
      this.#waiting = text;
      return;
    }
    this.#say(text);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const next = this.#waiting;
      this.#waiting = null;
      if (next !== null) this.say(next);
    }, ANNOUNCE_MILLISECONDS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#waiting = null;
  }
}

if (!customElements.get("rung-ladder")) customElements.define("rung-ladder", RungLadder);
