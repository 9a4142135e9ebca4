// How figures, periods and conditions are said. Pure functions: values in, text out.

const NUMBER = new Intl.NumberFormat("en");
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const SECOND = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium", timeZone: "UTC" });
const DAY_MILLISECONDS = 86_400_000;

/** The first and the last day of a period such as 2021-08, 2021-W32 or 2021-08-05. */
export function daysOf(period) {
  const week = /^(\d{4})-W(\d\d)$/.exec(period);
  if (week) {
    // ISO 8601: 4 January is always in the first week.
    const fourth = Date.UTC(Number(week[1]), 0, 4);
    const monday = fourth - ((new Date(fourth).getUTCDay() + 6) % 7) * DAY_MILLISECONDS;
    const first = monday + (Number(week[2]) - 1) * 7 * DAY_MILLISECONDS;
    return [new Date(first), new Date(first + 6 * DAY_MILLISECONDS)];
  }
  const [year, month, day] = period.split("-").map(Number);
  if (day) return [new Date(Date.UTC(year, month - 1, day)), new Date(Date.UTC(year, month - 1, day))];
  return [new Date(Date.UTC(year, month - 1, 1)), new Date(Date.UTC(year, month, 0))];
}

export function periodName(period) {
  const [first, last] = daysOf(period);
  if (period.includes("W")) return `week of ${DAY.formatRange(first, last)}`;
  return /^\d{4}-\d\d$/.test(period) ? MONTH.format(first) : DAY.format(first);
}

export function lastDay(period) {
  return DAY.format(daysOf(period)[1]);
}

export function time(text) {
  return `${SECOND.format(new Date(text))} UTC`;
}

/** Minor units as money: 52987 GBP is £529.87, 50000 JPY is ¥50,000. */
export function money(minorUnits, currency) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "narrowSymbol" });
  return format.format(minorUnits / 10 ** format.resolvedOptions().maximumFractionDigits);
}

export function figure(value, unit, currency) {
  return unit === "money" ? money(value, currency) : NUMBER.format(value);
}

export function name(text) {
  return text.replaceAll(/[_-]/g, " ");
}

/** What a condition is about: its measure if it compares a single one, else its own text. */
export function subject(condition, units) {
  const measure = /^([A-Za-z_]\w*) (?:>=|>|<=|<|=|<>) -?\d+$/.exec(condition.expression)?.[1];
  return measure !== undefined && measure in units ? measure : null;
}

/** The words beside a condition, such as "18 of 30, 12 to go". */
export function standing(condition, unit, currency) {
  const { met, value, target, remaining } = condition;
  if (value === undefined) return met ? "yes" : "not yet";
  if (value === null) return "not known";
  const say = (number) => figure(number, unit, currency);
  if (remaining === undefined) return `${say(value)}; ${met ? "met" : "not met"}`;
  // "More than 30" is reached at 31.
  const goal = /[<>]=/.test(condition.expression) ? target : target + 1;
  return met ? `${say(value)}, target ${say(goal)} reached` : `${say(value)} of ${say(goal)}, ${say(remaining)} to go`;
}
