// From what the cards show to elements. Only text is ever put in; nothing here listens.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Make a live tree equal to a made one and keep what is the same: focus, selection and open details stay. */
export function morph(live, made) {
  if (live.nodeType !== made.nodeType || live.nodeName !== made.nodeName || live.dataset?.key !== made.dataset?.key) {
    live.replaceWith(made);
    return;
  }
  if (live.nodeType === Node.TEXT_NODE) {
    if (live.data !== made.data) live.data = made.data;
    return;
  }
  for (const { name } of [...live.attributes]) if (name !== "open" && !made.hasAttribute(name)) live.removeAttribute(name);
  for (const { name, value } of made.attributes) if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  const wanted = [...made.childNodes];
  wanted.forEach((child, index) => {
    const present = live.childNodes[index];
    if (present) morph(present, child);
    else live.append(child);
  });
  while (live.childNodes.length > wanted.length) live.lastChild.remove();
}

export function note({ kind, text }, ...more) {
  return element("div", { class: `note ${kind}` }, element("p", {}, text), ...more);
}

export function button(action, text) {
  return element("button", { type: "button", "data-do": action }, text);
}

/** One campaign: the rate in force and the counting period, never in one card. */
export function campaignSection(cards, words, explained, hasTitle) {
  const heading = `campaign-${cards.id}`;
  return element(
    "section",
    { "data-key": cards.id, "aria-labelledby": heading },
    element("h2", { id: heading, class: hasTitle ? null : "unseen" }, cards.name),
    element("div", { class: "cards" }, rateCard(cards.rate, words), progressCard(cards, words, explained)),
  );
}

function rateCard(rate, words) {
  if (rate.percent === null) return element("div", { class: "card rate" }, rate.notes.map(plain));
  const lines = rate.parts.map(({ name, percent }) => pair(name, percent));
  return element(
    "div",
    { class: "card rate" },
    element("h3", {}, rate.title),
    element("p", { class: "percent" }, words.rate(rate.percent)),
    element("p", { class: "until" }, rate.until),
    element("p", { class: "how" }, words.how, rate.earned && element("span", { class: "muted" }, ` · ${rate.earned}`)),
    element("dl", {}, lines),
    rate.onSome.length === 0
      ? null
      : [
          element("p", { class: "how" }, words.onSome),
          element("dl", {}, rate.onSome.map(({ name, percent, on }) => pair(name, percent, on === name ? null : on))),
        ],
    rate.notes.map(plain),
  );
}

function pair(name, percent, more = null) {
  const detail = more === null ? null : element("span", { class: "detail" }, more);
  return element("div", { class: "pair" }, element("dt", {}, name, detail), element("dd", {}, percent));
}

function plain({ kind, text }) {
  return element("p", { class: `aside ${kind}` }, text);
}

function progressCard({ id, progress }, words, explained) {
  if (progress.title === null) return element("div", { class: "card progress" }, progress.notes.map(plain));
  return element(
    "div",
    { class: "card progress" },
    element(
      "div",
      { class: "top" },
      element("div", {}, element("h3", {}, progress.title), element("p", { class: "deadline" }, progress.deadline)),
      element(
        "p",
        { class: "so-far" },
        element("span", { class: "small-percent" }, words.rate(progress.percent)),
        element("span", { class: "detail" }, progress.soFar),
      ),
    ),
    progress.lead === null ? null : element("p", { class: "lead" }, progress.lead),
    element("ol", { class: "steps" }, progress.steps.map((step) => stepItem(step))),
    progress.notes.map(plain),
    whyDetails(id, progress, words, explained),
  );
}

function stepItem(step) {
  return element(
    "li",
    { class: `step ${step.state}`, "data-key": step.key },
    rungMark(step.state),
    element(
      "div",
      { class: "body" },
      element("div", { class: "head" }, element("h4", {}, step.name), element("span", { class: "added" }, step.added)),
      step.on === null ? null : element("p", { class: "detail" }, step.on),
      element("p", { class: "sentence" }, step.sentence),
      step.payment ? element("p", { class: "detail" }, step.payment) : null,
      step.rows.length === 0 ? null : element("ul", { class: "rows" }, step.rows.map(rowItem)),
    ),
  );
}

/** The rung itself: filled when it is reached. The words beside it say the same. */
function rungMark(state) {
  const mark = document.createElementNS(SVG, "svg");
  mark.setAttribute("class", "mark");
  mark.setAttribute("viewBox", "0 0 28 28");
  mark.setAttribute("aria-hidden", "true");
  const ring = document.createElementNS(SVG, "circle");
  for (const [name, value] of Object.entries({ cx: "14", cy: "14", r: "12" })) ring.setAttribute(name, value);
  const sign = document.createElementNS(SVG, "path");
  sign.setAttribute("d", state === "reached" ? "M8.5 14.5l4 4 7.5-8.5" : "M14 14h.01");
  mark.append(ring, sign);
  return mark;
}

function rowItem(row) {
  if (row.kind === "group") {
    return element("li", { class: "group" }, row.name === null ? null : element("p", { class: "detail" }, row.name), element("ul", { class: "rows" }, row.rows.map(rowItem)));
  }
  const words = element(
    "div",
    { class: "words" },
    element("span", {}, row.name),
    element("span", { class: "value" }, row.text, row.kind === "measure" ? element("span", { class: "share" }, `${row.percent}%`) : null),
  );
  if (row.kind === "check") return element("li", { class: row.met ? "met" : null }, words);
  const bar = element("progress", { max: "100", value: String(row.percent), "aria-label": `${row.name}: ${row.text}` }, row.text);
  return element("li", { class: row.met ? "met" : null }, words, bar);
}

function whyDetails(campaign, { period, version }, words, explained) {
  const told = explained(`${campaign}/${period}/${version}`);
  return element(
    "details",
    { class: "why", "data-campaign": campaign, "data-period": period, "data-version": String(version) },
    element("summary", {}, words.why),
    told === undefined ? null : explanation(told, words),
  );
}

function explanation(told, words) {
  if (told.state === "loading") return element("p", { class: "detail" }, words.whyLoading);
  if (told.state === "failed") return element("div", {}, element("p", {}, words.whyError), button("explain", words.retry));
  if (told.payments.length === 0) return element("p", { class: "detail" }, words.whyNone);
  return element(
    "div",
    {},
    told.processing === null ? null : element("p", { class: "pending" }, told.processing),
    element(
      "ul",
      { class: "payments" },
      told.payments.map(({ day, amount, reason, isCounted, id }) =>
        element(
          "li",
          { class: isCounted ? "met" : null, "data-key": id },
          element("span", {}, day),
          element("span", { class: "value" }, amount),
          element("span", { class: "reason" }, reason),
        ),
      ),
    ),
    told.more === null ? null : element("p", { class: "detail" }, told.more),
  );
}
