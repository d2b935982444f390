// What every page has: where we are, the theme, the key, the version, and the dialogs.

import { getJson, key, keepKey, onKeyWanted } from "./api.js";
import { announce, by, h, show } from "./dom.js";

const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const THEME = "newtond-theme";

function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function chooseTheme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  by("theme-button").textContent = THEMES[chosen];
  document.dispatchEvent(new Event("themechange"));
  try {
    if (chosen === "auto") localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, chosen);
  } catch (error) {
    console.warn("newtond: the theme is not kept", error);
  }
}

function nextTheme() {
  const names = Object.keys(THEMES);
  chooseTheme(names[(names.indexOf(theme()) + 1) % names.length]);
  announce(THEMES[theme()]);
}

/** Show a dialog and return the value of the button that closed it, "" when it was dismissed. */
export function ask(title, content, buttons) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), content, h("div", { class: "actions" }, buttons)),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask whether to do what cannot be undone; the verb is on the button. */
export async function confirmed(title, words, verb) {
  const stay = h("button", { value: "", autofocus: true }, "Keep it");
  const go = h("button", { value: "yes", class: "danger" }, verb);
  return (await ask(title, h("p", {}, words), [go, stay])) === "yes";
}

let [asking, dismissed] = [false, false];

async function askKey(wanted) {
  if (asking || (wanted && dismissed)) return;
  asking = true;
  const input = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", autofocus: true });
  const why = wanted ? "The service wants a key, or another one than it was given." : "Sent with every call as a Bearer token.";
  const content = [
    h("p", {}, why, " It is kept in this tab only, until the tab is closed."),
    h("label", { class: "field wide" }, h("span", {}, "API key"), input),
  ];
  const forget = key() && h("button", { value: "forget" }, "Forget it");
  const answer = await ask("API key", content, [h("button", { value: "use", class: "primary" }, "Use this key"), forget, h("button", { value: "" }, "Cancel")]);
  asking = false;
  dismissed = answer === "";
  if (dismissed) return;
  keepKey(answer === "use" ? input.value.trim() : "");
  location.reload();
}

/** Show what a refusal says, or clear it when there is none; `where` is the page's place for it. */
export function showProblem(error, where = by("problem")) {
  if (!error) return show(where);
  const { title, detail, source, request_id: request } = error.problem ?? { title: "This page failed", detail: String(error) };
  if (!error.problem) console.error(error);
  const place = source?.pointer ?? source?.part ?? source?.parameter;
  const notice = h(
    "div",
    { class: "notice bad", role: "alert" },
    h("strong", {}, title),
    h("p", {}, detail),
    place && h("p", { class: "hint" }, "at ", h("code", {}, place)),
    (source?.others ?? []).map((other) => h("p", { class: "hint" }, h("code", {}, other.pointer), ` ${other.detail}`)),
    request && h("p", { class: "hint" }, "request ", h("code", {}, request)),
  );
  return show(where, notice);
}

async function showVersion() {
  const version = await getJson("/version");
  by("version").textContent = `newtond ${version.newtond}`;
}

/** Begin a page: `main` builds it, and what it throws is shown. */
export async function begin(main) {
  for (const link of document.querySelectorAll("nav a[data-for]")) {
    if (link.dataset.for === document.body.dataset.page) link.setAttribute("aria-current", "page");
  }
  by("theme-button").textContent = THEMES[theme()];
  by("theme-button").addEventListener("click", nextTheme);
  by("key-button").addEventListener("click", () => askKey(false));
  by("key-button").textContent = key() ? "API key: set" : "API key";
  onKeyWanted(() => askKey(true));
  showVersion().catch((error) => console.warn("newtond: no version", error));
  try {
    await main();
  } catch (error) {
    showProblem(error);
  }
}
