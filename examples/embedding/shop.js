// All that a host page does: give the component a token of its user, and its own names of things.

const ladder = document.querySelector("rung-ladder");

// Asked for at first, and again when a token has expired. The shop's server knows who is signed in.
ladder.token = async () => (await fetch("/session/rewards-token")).text();

ladder.labels = {
  ja: { starter: "スターター", gold: "ゴールド" },
  en: { starter: "Starter", gold: "Gold" },
};

ladder.addEventListener("rung-signed-out", () => location.assign("/sign-in"));
