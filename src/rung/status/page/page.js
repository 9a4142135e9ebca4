// The stand-alone page: takes a credential from the address's fragment and shows <rung-ladder>.
//
// #token=JWT shows the user of the token, #key=KEY&user=ID a user as a service may see them. &at=2011-11-20 chooses
// a day, &campaign=NAME one campaign. The fragment never leaves the browser, and is removed at once.

import "./ladder.js";
import { languageOf } from "./words.js";

const TEXTS = {
  en: {
    title: "Your rewards",
    other: "日本語",
    light: "Light",
    dark: "Dark",
    who: (user, at) => `User ${user}${at ? `, on ${at}` : ""}`,
    signIn: "Open this page from your payment app: it signs you in here.",
  },
  ja: {
    title: "特典の達成状況",
    other: "English",
    light: "ライト",
    dark: "ダーク",
    who: (user, at) => `ユーザー ${user}${at ? `（${at}）` : ""}`,
    signIn: "お支払いアプリからこのページを開いてください。",
  },
};
const root = document.documentElement;
const ladder = document.querySelector("rung-ladder");
const find = (id) => document.getElementById(id);

let shown = {};
let language = languageOf(navigator.language);

function show() {
  const texts = TEXTS[language];
  const isDark = root.dataset.theme === "dark" || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.lang = language;
  ladder.lang = language;
  document.title = `${texts.title} – Rung`;
  find("title").textContent = texts.title;
  find("language").textContent = texts.other;
  find("language").lang = language === "en" ? "ja" : "en";
  find("theme").ariaLabel = isDark ? texts.light : texts.dark;
  find("theme").value = isDark ? "light" : "dark";
  find("who").hidden = !shown.user;
  find("who").textContent = texts.who(shown.user, shown.at);
  find("sign-in").hidden = ladder.token !== null;
  find("sign-in").textContent = texts.signIn;
}

/** Take what the fragment tells, if it tells anything, and remove it from the address and the history. */
function signIn() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token") ?? fragment.get("key");
  if (token === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  shown = { user: fragment.get("user"), at: fragment.get("at"), campaign: fragment.get("campaign") };
  // Nothing of the one before is asked for with what is new.
  ladder.token = null;
  for (const [name, value] of Object.entries(shown)) {
    if (value) ladder.setAttribute(name, value);
    else ladder.removeAttribute(name);
  }
  ladder.token = token;
  show();
}

find("language").addEventListener("click", () => {
  language = language === "en" ? "ja" : "en";
  show();
});
find("theme").addEventListener("click", ({ target }) => {
  root.dataset.theme = target.value;
  ladder.setAttribute("theme", target.value);
  show();
});
// The same page may be opened again with another fragment.
addEventListener("hashchange", signIn);
signIn();
show();
