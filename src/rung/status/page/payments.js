// From an explanation of a period to what is told of each payment. Pure functions.

import { dayIn, dayName, money, number } from "./figures.js";

const PAYMENTS_MAX = 20;
const TAKEN_BACK = { REFUNDED: "refund", CANCELED: "cancellation" };

/** The newest payments of a period: whether each is counted, and why not. */
export function paymentsOf(transactions, { timezone, currency }, { words, now }) {
  const today = dayIn(timezone, now);
  const paid = transactions
    .filter(({ reason }) => reason !== "other_period")
    .map((transaction) => ({ ...transaction, purchase: purchaseOf(transaction) }))
    .sort((one, other) => other.purchase.at - one.purchase.at);
  const processing = paid.filter(({ reason }) => reason === "not_completed").length;
  const more = Math.max(0, paid.length - PAYMENTS_MAX);
  return {
    state: "told",
    processing: processing === 0 ? null : words.processing(number(processing)),
    more: more === 0 ? null : words.more(number(more)),
    payments: paid.slice(0, PAYMENTS_MAX).map(({ transaction_id: id, reason, purchase }) => ({
      id,
      day: dayName(dayIn(timezone, purchase.at), today, words.language),
      amount: money(purchase.amount, currency, words.language),
      reason: words.reasons[reason] ?? reason,
      isCounted: reason === "counted",
    })),
  };
}

/** The latest refund or cancellation: its kind and day, and the payment's day and amount; undefined if none is. */
export function causeIn(transactions, { timezone }) {
  const taken = transactions.flatMap((transaction) => {
    const last = transaction.history.at(-1);
    const kind = TAKEN_BACK[last.status];
    if (kind === undefined) return [];
    const { at, amount } = purchaseOf(transaction);
    const takenAt = new Date(last.at);
    return [{ kind, takenAt, day: dayIn(timezone, takenAt), paidOn: dayIn(timezone, at), amount }];
  });
  return taken.sort((one, other) => other.takenAt - one.takenAt)[0];
}

/** The step that dates a purchase and tells its amount, or the first one if it is not completed. */
function purchaseOf({ history }) {
  const step = history.find(({ status }) => status === "COMPLETED") ?? history[0];
  return { at: new Date(step.at), amount: step.amount };
}
