// What the cards say, in English and Japanese. Each sentence is whole: languages order its parts differently.

const ENGLISH_COMPARED = { "=": "", "<>": "not ", "<": "less than ", "<=": "at most ", ">": "more than ", ">=": "at least " };
const JAPANESE_COMPARED = { "=": "", "<>": "以外", "<": "未満", "<=": "以下", ">": "より多い", ">=": "以上" };

const ENGLISH = {
  measures: {
    payments: { name: "Payments", one: "payment", other: "payments" },
    purchases: { name: "Purchases", one: "purchase", other: "purchases" },
    baskets: { name: "Baskets", one: "basket", other: "baskets" },
    days: { name: "Days", one: "day", other: "days" },
    services: { name: "Services", one: "service", other: "services" },
    total: { name: "Amount" },
  },
  some: (count, { name, one, other }) => (one ? `${count} ${count === "1" ? one : other}` : `${count} ${name}`),
  figures: (parts) => parts.join(", "),
  list: (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`),
  names: (parts) => parts.join(", "),
  of: (value, goal) => `${value} of ${goal}`,
  reachedOf: (value, goal) => `${value}, target ${goal}`,
  rate: (percent) => `${percent}%`,
  added: (percent) => `+${percent}%`,

  inForce: (period) => `Your rate in ${period}`,
  until: (day) => `Until ${day}`,
  how: "How you got it",
  base: "For everyone",
  earnedIn: (period) => `earned in ${period}`,
  earnedHere: "earned in the same period",
  onSome: "On some payments also",
  noRate: "No rate is in force at the moment.",
  closing: (period, day) =>
    `Closing ${period}. Late payments are still being added${day ? `; result expected around ${day}` : ""}.`,
  waiting: (period) => `${capital(period)} is being checked. Figures may change.`,
  lostAfter: (period) => `After a refund, ${possessive(period)} target is no longer met.`,
  partial: "Earlier payments are still being added. Figures may rise.",
  closed: (period) => `The result of ${period} is final.`,

  counting: (period) => `Counting in ${period}`,
  soFar: (period) => `your rate in ${period}, so far`,
  finalRate: (period) => `your rate in ${period}`,
  deadline: (day) => `Counts until ${day}`,
  noneYet: (period) => `No counted payments in ${period} yet.`,
  toGo: (what, day) => `${what} to go, by ${day}.`,
  toGoFor: (what, percent, period) => `${what} to go for +${percent}% in ${period}.`,
  oneMore: (what, least) => `One more ${what.one ?? what.name}${least ? ` of ${least} or more` : ""}.`,
  done: (names) => ` ${names}: done.`,
  alsoNeeded: (names) => `Still needed: ${names}.`,
  oneOfThese: "One of these",
  allOfThese: "All of these",
  meetOne: (day) => `One of these, by ${day}:`,
  reached: "Target reached. A refund could still change this.",
  reachedForGood: "Target reached.",
  notReached: "Not reached.",
  takenBack: (cause, now, missing) => `After ${cause}: ${now}. ${missing} to go.`,
  refundOn: (day) => `a refund on ${day}`,
  cancellationOn: (day) => `a cancellation on ${day}`,
  someRefund: "a refund or cancellation",
  thePayment: (day, amount) => `The payment of ${amount} on ${day}.`,
  soFarHere: "your rate so far",
  compared: (name, operator, value) => `${name}: ${ENGLISH_COMPARED[operator]}${value}`,
  isUnknown: (name) => `${name}: not known`,
  isKnown: (name) => `${name}: known`,
  isNot: (name) => `Not: ${name}`,
  everyone: "Applies to everyone.",
  onThese: (words) => `On these payments: ${words}`,
  ended: (day) => `Counting ended on ${day}.`,
  stillApplies: (percent, day) => `Your +${percent}% applies until ${day}.`,
  notCounting: "Nothing is counted at the moment.",
  notYet: "not yet",
  met: "done",
  unknown: "not known",

  asOf: (time) => `Includes payment data that reached us by ${time}`,
  nothingYet: "No payment data has reached us yet.",
  pending: "New payment data is being processed, and is not counted yet.",
  stale: (time) => `As of ${time}. We can't confirm anything newer.`,
  error: "We can't show your progress. Try again.",
  retry: "Try again",
  signedOut: "Your sign-in has expired. Sign in again to see your progress.",
  noCampaign: "No campaign is running at the moment.",
  loading: "Loading",
  updated: "Up to date again.",
  nowReached: (name) => `Target reached: ${name}.`,
  nowLost: (name) => `Target no longer met: ${name}.`,

  why: "Why isn't a payment counted?",
  whyLoading: "Looking through your payments …",
  whyError: "We can't show your payments.",
  whyNone: "We know of no payment of yours in this period.",
  processing: (count) => `${count} processing, not counted yet`,
  more: (count) => `${count} earlier ones are not shown.`,
  reasons: {
    counted: "counted",
    below_condition: "does not meet the conditions",
    not_completed: "not completed yet",
    canceled: "canceled",
    failed: "failed",
    expired: "expired",
    refunded_in_full: "refunded in full",
    other_period: "belongs to another period",
    before_version: "was made before these rules",
    conflict: "told in two different ways; being looked into",
  },
};

const JAPANESE = {
  measures: {
    payments: { name: "お支払い", counter: "回" },
    purchases: { name: "お買い物", counter: "回" },
    baskets: { name: "お買い物", counter: "回" },
    days: { name: "ご利用日数", counter: "日" },
    services: { name: "ご利用サービス", counter: "サービス" },
    total: { name: "金額" },
    premium: "プレミアム会員",
    linked: "アカウント連携",
  },
  some: (count, { name, counter }) => (counter ? `${count}${counter}` : `${name} ${count}`),
  figures: (parts) => parts.join("・"),
  list: (parts) => parts.join("・"),
  names: (parts) => parts.join("、"),
  of: (value, goal) => `${value} / ${goal}`,
  reachedOf: (value, goal) => `${value}（目標${goal}）`,
  rate: (percent) => `${percent}%`,
  added: (percent) => `+${percent}%`,

  inForce: (period) => `${period}の付与率`,
  until: (day) => `${day}まで`,
  how: "付与率の内訳",
  base: "基本",
  earnedIn: (period) => `${period}に達成`,
  earnedHere: "この期間に達成",
  onSome: "一部のお支払いではさらに",
  noRate: "現在適用されている付与率はありません。",
  closing: (period, day) =>
    `${period}分を集計中です。遅れて届くお支払いも反映し、${day ? `${day}ごろ` : "後日"}確定します。`,
  waiting: (period) => `${period}分を確認中です。表示は変わることがあります。`,
  lostAfter: (period) => `返金により、${period}の条件を満たさなくなりました。`,
  partial: "以前のお支払いを反映中です。表示は増えることがあります。",
  closed: (period) => `${period}分は確定しました。`,

  counting: (period) => `${period}のカウント`,
  soFar: (period) => `${period}の付与率（現時点）`,
  finalRate: (period) => `${period}の付与率`,
  deadline: (day) => `${day}までカウント`,
  noneYet: (period) => `${period}の対象のお支払いはまだありません。`,
  toGo: (what, day) => `あと${what}です（${day}まで）。`,
  toGoFor: (what, percent, period) => `あと${what}で、${period}の付与率に+${percent}%が加わります。`,
  oneMore: (what, least) => `あと${JAPANESE.some("1", what)}${least ? `（${least}以上）` : ""}で達成です。`,
  done: (names) => `${names}は達成済みです。`,
  alsoNeeded: (names) => `必要な条件：${names}。`,
  oneOfThese: "次のいずれか",
  allOfThese: "次のすべて",
  meetOne: (day) => `次のいずれかで達成です（${day}まで）。`,
  reached: "条件を達成しました。返金などで変わることがあります。",
  reachedForGood: "条件を達成しました。",
  notReached: "条件を達成していません。",
  takenBack: (cause, now, missing) => `${cause}により、${now}になりました。あと${missing}です。`,
  refundOn: (day) => `${day}の返金`,
  cancellationOn: (day) => `${day}の取り消し`,
  someRefund: "返金または取り消し",
  thePayment: (day, amount) => `対象：${day}の${amount}のお支払い`,
  soFarHere: "現時点の付与率",
  compared: (name, operator, value) => `${name}：${value}${JAPANESE_COMPARED[operator]}`,
  isUnknown: (name) => `${name}：不明`,
  isKnown: (name) => `${name}：登録済み`,
  isNot: (name) => `${name}ではない`,
  everyone: "すべての方に適用されます。",
  onThese: (words) => `対象のお支払い：${words}`,
  ended: (day) => `カウントは${day}に終了しました。`,
  stillApplies: (percent, day) => `+${percent}%は${day}まで適用されます。`,
  notCounting: "現在カウント中の期間はありません。",
  notYet: "未達成",
  met: "達成済み",
  unknown: "不明",

  asOf: (time) => `${time}までに届いたお支払い情報を反映`,
  nothingYet: "お支払い情報はまだ届いていません。",
  pending: "処理中のお支払い情報があります（まだ含まれていません）。",
  stale: (time) => `${time}時点の情報です。最新の状況を確認できていません。`,
  error: "状況を表示できません。再読み込みしてください。",
  retry: "再読み込み",
  signedOut: "ログインの有効期限が切れました。もう一度ログインしてください。",
  noCampaign: "現在実施中のキャンペーンはありません。",
  loading: "読み込み中",
  updated: "最新の状況に戻りました。",
  nowReached: (name) => `条件を達成しました：${name}。`,
  nowLost: (name) => `条件を満たさなくなりました：${name}。`,

  why: "カウントされないお支払いについて",
  whyLoading: "お支払いを確認しています…",
  whyError: "お支払いを表示できません。",
  whyNone: "この期間のお支払いはありません。",
  processing: (count) => `処理中${count}回（まだ含まれていません）`,
  more: (count) => `ほかに${count}件あります。`,
  reasons: {
    counted: "対象",
    below_condition: "条件を満たしていません",
    not_completed: "まだ完了していません",
    canceled: "取り消されました",
    failed: "失敗しました",
    expired: "期限切れです",
    refunded_in_full: "全額返金されました",
    other_period: "別の期間のお支払いです",
    before_version: "この条件の開始前のお支払いです",
    conflict: "内容を確認中です",
  },
};

const LANGUAGES = { en: ENGLISH, ja: JAPANESE };

/** The language to speak, for a tag such as ja-JP: one that is not known is answered in English. */
export function languageOf(tag) {
  return /^ja\b/i.test(tag ?? "") ? "ja" : "en";
}

/** The words of a language; `labels` are the host page's own names of measures, steps and conditions. */
export function wordsOf(language, labels = {}) {
  const words = LANGUAGES[language];
  const chosen = { ...labels, ...labels[language] };
  const known = (key) => chosen[key] ?? words.measures[key];
  return {
    ...words,
    language,
    /** What a measure is called and counted in: {name, one, other} or {name, counter}. */
    measure(key) {
      const told = known(key) ?? humane(key);
      return typeof told === "string" ? { name: told } : told;
    },
    /** What a step, an attribute or a condition is called; a condition without a name stands as it is. */
    name(key) {
      const told = known(key);
      if (told !== undefined) return told.name ?? told;
      return /^[\w-]+$/.test(key) ? humane(key) : key;
    },
    isNamed: (key) => known(key) !== undefined,
  };
}

function humane(key) {
  return capital(key.replaceAll(/[_-]/g, " "));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function possessive(text) {
  return `${text}'s`;
}
