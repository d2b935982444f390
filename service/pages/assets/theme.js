// Runs before the first paint, so that a chosen theme does not flash. Storage may be forbidden: then none is kept.
"use strict";
try {
  const chosen = localStorage.getItem("newtond-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch (error) {
  console.warn("newtond: no stored theme", error);
}
