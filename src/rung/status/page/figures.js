// How numbers, money, rates, periods and times are written. Pure functions: values in, text out.
//
// Numbers and money are put together here: engines differ in what Intl writes for yen (a fullwidth sign in
// Japanese, "JP¥" in British English), and minor units go through no floating-point number.

const DAY_MILLISECONDS = 86_400_000;
const SIGNS = { JPY: "¥", CNY: "CN¥", KRW: "₩", USD: "$", EUR: "€", GBP: "£", INR: "₹" };
const MINUTE_PARTS = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const ENGLISH_MONTHS = [
  ...["January", "February", "March", "April", "May", "June"],
  ...["July", "August", "September", "October", "November", "December"],
];

/** An integer with its thousands apart: 1234567 is 1,234,567. */
export function number(value) {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** Minor units as money: 52987 GBP is £529.87; 50000 JPY is ¥50,000, and 50,000円 in Japanese. */
export function money(minorUnits, currency, language) {
  // How many digits a minor unit has is the one thing that every engine takes from ISO 4217.
  const digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
  const text = String(Math.abs(minorUnits)).padStart(digits + 1, "0");
  const whole = number(text.slice(0, text.length - digits));
  const amount = digits === 0 ? whole : `${whole}.${text.slice(-digits)}`;
  const minus = minorUnits < 0 ? "−" : "";
  if (language === "ja" && currency === "JPY") return `${minus}${amount}円`;
  return `${minus}${SIGNS[currency] ?? `${currency} `}${amount}`;
}

/** How much of a target is reached in whole percent, rounded down: 999 of 1000 is 99. */
export function percentDone(value, target) {
  if (target <= 0 || value >= target) return 100;
  return value <= 0 ? 0 : Number((BigInt(value) * 100n) / BigInt(target));
}

/** Add exact decimals, which are texts such as "0.5"; `sign` -1 takes the others away from the first one. */
export function sumOf(decimals, sign = 1) {
  const digits = Math.max(1, ...decimals.map((text) => (text.split(".")[1] ?? "").length));
  const scaled = decimals.map((text) => {
    const [whole, part = ""] = text.split(".");
    return BigInt(whole + part.padEnd(digits, "0"));
  });
  const sum = scaled.slice(1).reduce((total, one) => total + BigInt(sign) * one, scaled[0] ?? 0n);
  const text = String(sum < 0n ? -sum : sum).padStart(digits + 1, "0");
  const part = text.slice(-digits).replace(/0+$/, "") || "0";
  return `${sum < 0n ? "-" : ""}${text.slice(0, -digits)}.${part}`;
}

/** The first and the last day of a period such as 2021-08, 2021-W32 or 2021-08-05, as dates in UTC. */
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

/** The first day after a period. */
export function dayAfter(period) {
  return daysLater(daysOf(period)[1], 1);
}

export function daysLater(day, days) {
  return new Date(day.getTime() + days * DAY_MILLISECONDS);
}

/** The day in a time zone at an instant, as a date in UTC. */
export function dayIn(zone, instant) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
  const told = Object.fromEntries(parts.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
  return new Date(Date.UTC(told.year, told.month - 1, told.day));
}

/** A day, with its year if that is not the present one: 30 November, 11月30日. */
export function dayName(day, today, language) {
  const year = day.getUTCFullYear();
  const isThisYear = year === today.getUTCFullYear();
  if (language === "ja") return `${isThisYear ? "" : `${year}年`}${day.getUTCMonth() + 1}月${day.getUTCDate()}日`;
  return `${day.getUTCDate()} ${ENGLISH_MONTHS[day.getUTCMonth()]}${isThisYear ? "" : ` ${year}`}`;
}

/** A period that begins on `first`: November, the week of 14–20 November, 20 November; 11月 and so on. */
export function periodName(kind, first, today, language) {
  if (kind === "day") return dayName(first, today, language);
  const year = first.getUTCFullYear();
  const isThisYear = year === today.getUTCFullYear();
  if (kind === "month") {
    if (language === "ja") return `${isThisYear ? "" : `${year}年`}${first.getUTCMonth() + 1}月`;
    return `${ENGLISH_MONTHS[first.getUTCMonth()]}${isThisYear ? "" : ` ${year}`}`;
  }
  const last = daysLater(first, 6);
  const until = dayName(last, today, language);
  if (language === "ja") return `${dayName(first, today, language)}〜${until}の週`;
  const from = first.getUTCMonth() === last.getUTCMonth() ? first.getUTCDate() : dayName(first, last, language);
  return `the week of ${from}–${until}`;
}

/** The time of an instant in a zone, with its day if that is not today: 14:32, 14:32 on 9 December 2011. */
export function timeName(instant, zone, today, language) {
  const time = new Intl.DateTimeFormat("en-GB", { ...MINUTE_PARTS, timeZone: zone }).format(instant);
  const day = dayIn(zone, instant);
  if (day.getTime() === today.getTime()) return time;
  const name = dayName(day, today, language);
  return language === "ja" ? `${name}${time}` : `${time} on ${name}`;
}
