// Before anything is drawn: the theme that was chosen, if one was.
"use strict";
try {
  const chosen = localStorage.getItem("rung-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme holds.
}
