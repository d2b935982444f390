// A list: a page of it, newest first, filtered as the address says, looked at again every moment.

import { getJson, pause } from "./api.js";
import { by, showRows } from "./dom.js";
import { showProblem } from "./shell.js";

const [BUSY, QUIET] = [2000, 6000];

function live(answers) {
  by("live").classList.toggle("on", answers);
  by("live-words").textContent = answers ? "live" : "no answer";
}

/**
 * Show the list at `path`, whose answers hold it under `name`, and follow it for good; `filters` are the
 * parameters that the form sets, `busy` says of an item whether it will change soon, `showNone` what an empty list says.
 */
export async function list({ path, name, filters, row, busy, showNone }) {
  const form = by("filters");
  let parameters = new URLSearchParams();
  let page = { [name]: [], after: null };

  const asked = () => [...filters, "after"].filter((each) => parameters.get(each));

  function showPage() {
    showRows(by("rows"), page[name].map(row));
    by("empty").hidden = page[name].length > 0;
    showNone(by("empty"), asked().length > 0);
    by("older").disabled = page.after === null;
    by("newest").disabled = !parameters.get("after");
  }

  async function look() {
    const wanted = new URLSearchParams({ limit: "20" });
    for (const each of asked()) wanted.set(each, parameters.get(each));
    try {
      page = await getJson(`${path}?${wanted}`);
      showProblem(null);
      live(true);
    } catch (error) {
      showProblem(error);
      live(false);
    }
    showPage();
  }

  function go(changes) {
    for (const [each, value] of Object.entries(changes)) {
      if (value) parameters.set(each, value);
      else parameters.delete(each);
    }
    const search = parameters.toString();
    history.pushState(null, "", search ? `?${search}` : location.pathname);
    return look();
  }

  function readAddress() {
    parameters = new URLSearchParams(location.search);
    for (const each of filters) form.elements[each].value = parameters.get(each) ?? "";
  }

  readAddress();
  addEventListener("popstate", () => {
    readAddress();
    look();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const set = filters.map((each) => [each, form.elements[each].value.trim()]);
    go({ ...Object.fromEntries(set), after: null });
  });
  form.querySelector("select").addEventListener("change", () => form.requestSubmit());
  by("older").addEventListener("click", () => go({ after: page.after }));
  by("newest").addEventListener("click", () => go({ after: null }));
  await look();
  for (;;) {
    await pause(page[name].some(busy) ? BUSY : QUIET);
    if (document.visibilityState === "visible") await look();
  }
}
