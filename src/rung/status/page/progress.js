// From a status to what the cards show: pure, and the only place that knows the status's form.

import { conditionWords } from "./conditions.js";
import { dayAfter, dayIn, dayName, daysLater, daysOf, money, number, percentDone, periodName, sumOf, timeName } from "./figures.js";

/**
 * What was seen so far: without it, figures that fell look like figures that were never higher.
 */
export class Memory {
  #highest = new Map();
  #met = new Set();

  /** Keep what is higher than before. */
  note({ campaigns }) {
    for (const { campaign, counting, effective } of campaigns) {
      for (const [part, period] of partsOf(counting, effective)) {
        for (const [measure, value] of Object.entries(part.measures)) {
          const key = keyOf(campaign, period, part.version, measure);
          this.#highest.set(key, Math.max(value, this.#highest.get(key) ?? value));
        }
        for (const step of part.steps) {
          if (step.met) this.#met.add(keyOf(campaign, period, part.version, step.name));
        }
      }
    }
  }

  /** Whether a measure was higher. */
  fell(campaign, period, version, measure, value) {
    return value < (this.#highest.get(keyOf(campaign, period, version, measure)) ?? value);
  }

  /** Whether a step was met. */
  wasMet(campaign, period, version, step) {
    return this.#met.has(keyOf(campaign, period, version, step));
  }
}

function partsOf(counting, effective) {
  const parts = [];
  if (counting !== null) parts.push([counting, counting.period]);
  if (effective !== null) parts.push([effective, effective.earned_in]);
  return parts;
}

function keyOf(...parts) {
  return JSON.stringify(parts);
}

/**
 * What a campaign's cards show.
 *
 * `status` is one of a status's campaigns and `campaign` its description. `context` has the words, the present
 * instant `now`, the `memory`, after how many days a result is expected (`resultDays`, or null), and `causeOf`,
 * which tells the refund or cancellation that took something back, if it is known.
 */
export function cardsOf(status, campaign, context) {
  const today = dayIn(campaign.timezone, context.now);
  const about = { ...context, status, campaign, today };
  return {
    id: campaign.campaign,
    name: context.words.name(campaign.campaign),
    rate: rateCard(status.effective, about),
    progress: progressCard(status.counting, about),
  };
}

/** The line that says how new the figures are. */
export function freshness({ as_of: asOf }, campaigns, { words, now }) {
  if (asOf.event_at === null) return words.nothingYet;
  const zone = campaigns[0]?.timezone ?? "UTC";
  return words.asOf(timeName(new Date(asOf.event_at), zone, dayIn(zone, now), words.language));
}

function rateCard(effective, about) {
  const { words, campaign, memory } = about;
  if (effective === null) return { title: null, percent: null, notes: [{ kind: "plain", text: words.noRate }] };
  const { period, earned_in: earnedIn, version } = effective;
  const met = effective.steps.filter((step) => step.met);
  // What is added on some purchases only is not in the rate.
  const onAll = met.filter((step) => step.on === undefined);
  const base = sumOf([effective.rate_percent, ...onAll.map((step) => step.add_percent)], -1);
  const notes = [];
  const lost = effective.steps.some((step) => !step.met && memory.wasMet(campaign.campaign, earnedIn, version, step.name));
  if (lost) notes.push({ kind: "warn", text: words.lostAfter(name(earnedIn, about)) });
  if (effective.state === "partial") notes.push({ kind: "warn", text: words.partial });
  else if (effective.state === "closed") notes.push({ kind: "plain", text: words.closed(name(earnedIn, about)) });
  else if (earnedIn !== period) notes.push({ kind: "plain", text: closingWords(earnedIn, about) });
  return {
    title: words.inForce(name(period, about)),
    percent: effective.rate_percent,
    until: words.until(lastDay(period, about)),
    // The base rate is nobody's merit.
    earned: onAll.length === 0 ? null : earnedIn === period ? words.earnedHere : words.earnedIn(name(earnedIn, about)),
    parts: [
      { name: words.base, percent: words.rate(base) },
      ...onAll.map((step) => ({ name: words.name(step.name), percent: words.added(step.add_percent) })),
    ],
    onSome: met
      .filter((step) => step.on !== undefined)
      .map((step) => ({ name: words.name(step.name), percent: words.added(step.add_percent), on: onWords(step, about) })),
    notes,
  };
}

function closingWords(period, about) {
  const { words, resultDays, today } = about;
  if (resultDays === null) return words.closing(name(period, about), null);
  const day = daysLater(daysOf(period)[1], resultDays);
  return today <= day
    ? words.closing(name(period, about), dayName(day, today, words.language))
    : words.waiting(name(period, about));
}

function progressCard(counting, about) {
  const { words, campaign, today } = about;
  if (counting === null) return { title: null, notes: [{ kind: "plain", text: endedWords(about) }] };
  const isClosed = counting.state === "closed";
  const earnsIn = campaign.effective === "next" ? dayAfter(counting.period) : daysOf(counting.period)[0];
  const next = periodName(campaign.period, earnsIn, today, words.language);
  const isEmpty = Object.values(counting.measures).every((value) => value === 0);
  const notes = [];
  if (counting.state === "partial") notes.push({ kind: "warn", text: words.partial });
  if (isClosed) notes.push({ kind: "plain", text: words.closed(name(counting.period, about)) });
  return {
    title: words.counting(name(counting.period, about)),
    percent: counting.rate_percent,
    soFar: isClosed ? words.finalRate(next) : campaign.effective === "next" ? words.soFar(next) : words.soFarHere,
    deadline: words.deadline(lastDay(counting.period, about)),
    lead: isEmpty && !isClosed ? words.noneYet(name(counting.period, about)) : null,
    steps: counting.steps.map((step) => stepOf(step, counting, { ...about, next, isEmpty, isClosed })),
    period: counting.period,
    version: counting.version,
    notes,
  };
}

function endedWords(about) {
  const { words, campaign, status, today } = about;
  if (campaign.counts_until === null || daysOf(campaign.counts_until)[1] >= today) return words.notCounting;
  const ended = words.ended(lastDay(campaign.counts_until, about));
  const added = (status.effective?.steps ?? []).filter((step) => step.met && step.on === undefined);
  if (added.length === 0) return ended;
  const still = words.stillApplies(sumOf(added.map((step) => step.add_percent)), lastDay(status.effective.period, about));
  return words.language === "ja" ? `${ended}${still}` : `${ended} ${still}`;
}

function stepOf(step, counting, about) {
  const { words, isClosed } = about;
  const comparisons = comparisonsOf(step.conditions, counting, about);
  // What a closed period asked for is over.
  const rows = isClosed ? [] : rowsOf(step.conditions, counting, about);
  const sentences = sentencesOf(step, comparisons, counting, about);
  // A sentence that introduces the only group names it.
  if (sentences.introduces && rows.length === 1) rows[0].name = null;
  return {
    key: step.name,
    name: words.name(step.name),
    added: words.added(step.add_percent),
    on: step.on === undefined ? null : words.onThese(onWords(step, about)),
    state: step.met ? "reached" : rows.some(isStarted) ? "started" : "ahead",
    rows,
    ...sentences,
  };
}

/** What is missing for a step, in a sentence, and what took something back, in another one. */
function sentencesOf(step, comparisons, counting, about) {
  const { words, campaign, memory, isEmpty, isClosed, next } = about;
  if (isClosed) return { sentence: step.met ? words.reachedForGood : words.notReached };
  if (step.conditions.length === 0) return { sentence: words.everyone };
  if (step.met) return { sentence: comparisons.length === 0 && isPlain(step) ? words.reachedForGood : words.reached };
  const missing = comparisons.filter(({ met }) => !met);
  const others = step.conditions.filter((condition) => !condition.met && !missing.some((one) => one.condition === condition));
  const checks = others.filter(({ any_of: anyOf }) => anyOf === undefined);
  const also = checks.length === 0 ? "" : words.alsoNeeded(words.names(checks.map((check) => conditionName(check, counting, about))));
  const day = lastDay(counting.period, about);
  if (missing.length === 0) return also ? { sentence: also } : { sentence: words.meetOne(day), introduces: true };
  const what = words.list(missing.map((one) => some(one, one.remaining, about)));
  const fell = missing.some(({ measure, value }) => memory.fell(campaign.campaign, counting.period, counting.version, measure, value));
  const join = (...parts) => parts.filter(Boolean).join(words.language === "ja" ? "" : " ");
  if (fell) {
    const cause = about.causeOf(campaign.campaign, counting.period);
    const now = words.figures(comparisons.map((one) => some(one, one.value, about)));
    return { sentence: join(words.takenBack(causeWords(cause, about), now, what), also), payment: paymentWords(cause, about) };
  }
  if (isEmpty) return { sentence: join(words.toGoFor(what, step.add_percent, next), also) };
  const [only] = missing;
  if (missing.length === 1 && only.unit === "count" && only.remaining === 1 && others.length === 0) {
    const done = comparisons.filter(({ met }) => met).map(({ measure }) => words.measure(measure).name);
    const least = only.least === undefined ? null : money(only.least, campaign.currency, words.language);
    return { sentence: words.oneMore(words.measure(only.measure), least) + (done.length === 0 ? "" : words.done(words.names(done))) };
  }
  return { sentence: join(words.toGo(what, day), also) };
}

function isPlain(step) {
  return step.conditions.every(({ any_of: anyOf }) => anyOf === undefined);
}

function causeWords(cause, { words, today }) {
  if (!cause) return words.someRefund;
  const day = dayName(cause.day, today, words.language);
  return cause.kind === "refund" ? words.refundOn(day) : words.cancellationOn(day);
}

function paymentWords(cause, { words, today, campaign }) {
  if (!cause) return null;
  const amount = money(cause.amount, campaign.currency, words.language);
  return words.thePayment(dayName(cause.paidOn, today, words.language), amount);
}

/** The conditions that ask for so much of a measure, with what is there and what is missing. */
function comparisonsOf(conditions, counting, about) {
  return conditions.flatMap((condition) => {
    const one = comparisonOf(condition, counting, about);
    return one === null ? [] : [one];
  });
}

function comparisonOf(condition, counting, { campaign }) {
  const [, measure, operator] = /^([A-Za-z_]\w*) (>=|>) -?\d+$/.exec(condition.expression) ?? [];
  const version = campaign.versions.find((one) => one.version === counting.version);
  if (condition.remaining === undefined || version?.measures[measure] === undefined) return null;
  const { value, target, remaining, met } = condition;
  const goal = operator === ">" ? target + 1 : target;
  return { condition, measure, value, goal, remaining, met, unit: version.measures[measure], least: version.least?.[measure] };
}

/** So much of a measure: 12 payments, ¥17,600. */
function some({ measure, unit }, value, about) {
  const { words } = about;
  return unit === "money" ? figure(unit, value, about) : words.some(number(value), words.measure(measure));
}

function figure(unit, value, { words, campaign }) {
  return unit === "money" ? money(value, campaign.currency, words.language) : number(value);
}

function rowsOf(conditions, counting, about) {
  const { words } = about;
  return conditions.map((condition) => {
    const parts = condition.any_of ?? condition.all_of;
    if (parts !== undefined) {
      return {
        kind: "group",
        name: condition.any_of ? words.oneOfThese : words.allOfThese,
        rows: rowsOf(parts, counting, about),
      };
    }
    const one = comparisonOf(condition, counting, about);
    if (one === null) return checkRow(condition, counting, about);
    const say = one.met ? words.reachedOf : words.of;
    const text = say(figure(one.unit, one.value, about), figure(one.unit, one.goal, about));
    return { kind: "measure", name: words.measure(one.measure).name, text, percent: percentDone(one.value, one.goal), met: one.met };
  });
}

function isStarted(row) {
  return row.kind === "group" ? row.rows.some(isStarted) : row.kind === "measure" && row.percent > 0;
}

function checkRow(condition, counting, about) {
  const { words } = about;
  const isUnknown = condition.value === null;
  const text = condition.met ? words.met : isUnknown ? words.unknown : words.notYet;
  return { kind: "check", name: conditionName(condition, counting, about), text, met: condition.met };
}

/** A condition on measures and attributes of the user. */
function conditionName({ expression }, counting, about) {
  const units = unitsOf(counting, about);
  return conditionWords(expression, about.words, (measure, value) => figure(units[measure], value, about));
}

/** The condition on the purchases that a step is for; amounts in it are money. */
function onWords(step, about) {
  return conditionWords(step.on, about.words, (name, value) => figure(/amount$/.test(name) ? "money" : "number", value, about));
}

function unitsOf({ version }, { campaign }) {
  return campaign.versions.find((one) => one.version === version)?.measures ?? {};
}

function name(period, { campaign, today, words }) {
  return periodName(campaign.period, daysOf(period)[0], today, words.language);
}

function lastDay(period, { today, words }) {
  return dayName(daysOf(period)[1], today, words.language);
}
