// The status page: asks the API for one user and shows the answer. Only text is ever put into it.

import { daysOf, figure, lastDay, name, periodName, standing, subject, time } from "/page/words.js";

const SKELETON_AFTER_MILLISECONDS = 400;
const answer = document.getElementById("answer");
const title = document.getElementById("title");
const asOf = document.getElementById("as-of");
const said = document.getElementById("said");

const query = new URLSearchParams(location.search);
const user = query.get("user") ?? "";
const at = query.get("at") ?? "";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function note(kind, text, ...more) {
  return element("div", { className: `note ${kind}` }, element("p", { textContent: text }), ...more);
}

async function get(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const document_ = await response.json();
  if (!response.ok) {
    const meant = document_.suggestion ? ` Did you mean ${document_.suggestion}?` : "";
    throw new Error(`${document_.detail}${meant}`);
  }
  return document_;
}

async function show() {
  const skeleton = setTimeout(() => {
    if (!answer.hasChildNodes()) answer.append(element("div", { className: "waiting" }));
    answer.classList.add("loading");
    said.textContent = "Loading";
  }, SKELETON_AFTER_MILLISECONDS);
  answer.ariaBusy = "true";
  try {
    const asked = at ? `?at=${encodeURIComponent(at)}` : "";
    const [status, catalog] = await Promise.all([
      get(`/v1/users/${encodeURIComponent(user)}/status${asked}`),
      get("/v1/campaigns"),
    ]);
    render(status, new Map(catalog.campaigns.map((campaign) => [campaign.campaign, campaign])));
    said.textContent = `Status of user ${user} shown`;
  } catch (error) {
    const retry = element("button", { type: "button", textContent: "Try again", onclick: show });
    // A failure must never look like an empty or a current status.
    asOf.textContent = "";
    answer.replaceChildren(note("danger", `The status cannot be shown. ${error.message}`, retry));
    said.textContent = "The status cannot be shown";
  } finally {
    clearTimeout(skeleton);
    answer.ariaBusy = "false";
    answer.classList.remove("loading");
  }
}

function render(status, described) {
  const { partition, offset, event_at: eventAt } = status.as_of;
  asOf.textContent = eventAt
    ? `Includes all events that reached us up to position ${partition}:${offset}; the latest is of ${time(eventAt)}.`
    : "No event has been processed yet.";
  const notes = [];
  if (status.campaigns.length === 0) {
    notes.push(note("warn", "No campaign is in force. Apply one with: rung campaign apply SPEC"));
  } else if (status.campaigns.every(withoutFigures)) {
    notes.push(
      note("", "No counted transaction of this user in these periods. Is the id right, and the day? Nothing counted yet shows as zero."),
    );
  }
  answer.replaceChildren(...notes, ...status.campaigns.map((one) => campaignSection(one, described.get(one.campaign))));
}

function withoutFigures({ counting, effective }) {
  return [counting, effective].every((part) => part === null || Object.values(part.measures).every((value) => value === 0));
}

function campaignSection(status, campaign) {
  const id = `campaign-${status.campaign}`;
  const cards = element("div", { className: "cards" }, rateCard(status.effective, campaign), progressCard(status.counting, campaign));
  const heading = element("h2", { id, textContent: name(status.campaign) });
  const section = element("section", {}, heading, element("p", { className: "muted", textContent: calendarWords(campaign) }), cards);
  section.setAttribute("aria-labelledby", id);
  return section;
}

function calendarWords(campaign) {
  const until = campaign.counts_until ? `; counts until ${lastDay(campaign.counts_until)}` : "";
  return `Counted by ${campaign.period}, time zone ${campaign.timezone}${until}`;
}

function rateCard(effective, campaign) {
  const card = element("div", { className: "card" });
  if (effective === null) {
    card.append(
      element("h3", { textContent: "Rate in force" }),
      element("p", { textContent: "None: the campaign gives no rate on this day." }),
    );
    return card;
  }
  const met = effective.steps.filter((step) => step.met);
  // What is added on some purchases only is not in the rate above.
  const onAll = met.filter((step) => !step.on);
  const onSome = met.filter((step) => step.on);
  card.append(
    element("h3", { textContent: `Rate in force, ${periodName(effective.period)}` }),
    element("p", { className: "rate", textContent: `${effective.rate_percent}%` }),
    element("p", { textContent: `${earnedWords(effective)}; in force until ${lastDay(effective.period)}.` }),
    measuresWords(effective, campaign),
    element("p", { textContent: onAll.length === 0 ? "The base rate." : "The base rate, and" }),
    ...stepList(onAll),
    ...(onSome.length === 0 ? [] : [element("p", { textContent: "In addition, on some purchases:" })]),
    ...stepList(onSome),
    stateWords(effective),
  );
  return card;
}

function stepList(steps) {
  return steps.length === 0
    ? []
    : [element("ul", { className: "earned" }, ...steps.map((step) => element("li", { textContent: stepWords(step) })))];
}

function earnedWords({ period, earned_in: earnedIn }) {
  return period === earnedIn ? "Earned in this same period" : `Earned in ${periodName(earnedIn)}`;
}

function progressCard(counting, campaign) {
  const card = element("div", { className: "card" });
  if (counting === null) {
    const day = at ? new Date(at) : new Date();
    const ended = campaign.counts_until !== null && daysOf(campaign.counts_until)[1] < day;
    card.append(
      element("h3", { textContent: "Counting" }),
      element("p", {
        textContent: ended ? `Counting ended on ${lastDay(campaign.counts_until)}.` : "Nothing is counted on this day.",
      }),
    );
    return card;
  }
  card.append(
    element("h3", { textContent: `Counting, ${periodName(counting.period)}` }),
    element("p", { textContent: `So far a rate of ${counting.rate_percent}%; counts until ${lastDay(counting.period)}.` }),
    measuresWords(counting, campaign),
    element("ul", { className: "steps" }, ...counting.steps.map((step) => stepItem(step, unitsOf(counting, campaign), campaign.currency))),
    stateWords(counting),
  );
  return card;
}

function unitsOf(part, campaign) {
  return campaign.versions.find((version) => version.version === part.version).measures;
}

function measuresWords(part, campaign) {
  const units = unitsOf(part, campaign);
  const words = Object.entries(part.measures).map(([measure, value]) => `${name(measure)} ${figure(value, units[measure], campaign.currency)}`);
  return element("p", { className: "muted", textContent: words.join(" · ") });
}

function stateWords(part) {
  return part.state === "partial"
    ? element("p", { className: "state partial", textContent: `Version ${part.version} was added later: earlier events are not in its figures yet.` })
    : element("p", { className: "state muted", textContent: `Version ${part.version}, provisional: late events and refunds can change it.` });
}

function stepWords(step) {
  return `${name(step.name)}: +${step.add_percent}%${step.on ? ` on ${step.on}` : ""}`;
}

function stepItem(step, units, currency) {
  const head = element(
    "div",
    { className: "step-head" },
    element("h4", { textContent: stepWords(step) }),
    element("span", { className: step.met ? "met" : "not-yet", textContent: step.met ? "✓ reached" : "not yet" }),
  );
  return element("li", {}, head, conditionList(step.conditions, units, currency));
}

function conditionList(conditions, units, currency) {
  if (conditions.length === 0) return element("p", { className: "muted", textContent: "For everyone." });
  return element("ul", { className: "conditions" }, ...conditions.map((condition) => conditionItem(condition, units, currency)));
}

function conditionItem(condition, units, currency) {
  const parts = condition.any_of ?? condition.all_of;
  if (parts) {
    const words = element("span", { className: "muted", textContent: condition.any_of ? "One of:" : "All of:" });
    return element("li", {}, words, conditionList(parts, units, currency));
  }
  const measure = subject(condition, units);
  const words = standing(condition, units[measure], currency);
  const label = measure === null ? element("code", { textContent: condition.expression }) : element("span", { textContent: name(measure) });
  const item = element("li", {}, element("div", { className: "condition-words" }, label, element("span", { textContent: words })));
  if (condition.remaining !== undefined && condition.target > 0) {
    const bar = element("progress", { max: condition.target, value: Math.max(0, Math.min(condition.value, condition.target)) });
    bar.className = condition.met ? "full" : "";
    bar.ariaLabel = `${measure === null ? condition.expression : name(measure)}: ${words}`;
    item.append(bar);
  }
  return item;
}

document.getElementById("user").value = user;
if (!Number.isNaN(Date.parse(at))) document.getElementById("at").value = at.slice(0, 10);
if (user) {
  title.replaceChildren("User ", element("span", { className: "id", textContent: user }));
  document.title = `${user} – Rung`;
  show();
} else {
  answer.replaceChildren(note("", "Enter a user's id to see this period's progress and the rate in force. A day chooses the periods; without one it is today."));
}
