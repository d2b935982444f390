// The list of batches, newest first, looked at again every moment.

import { getJson, pause } from "./api.js";
import { by, h, show } from "./dom.js";
import { ago, count, short, words } from "./format.js";
import { begin, showProblem } from "./shell.js";
import { counted, tags } from "./status.js";

const [BUSY, QUIET] = [2000, 6000];
const FILTERS = ["finished", "tag"];
let parameters = new URLSearchParams(location.search);
let page = { batches: [], after: null };

function query() {
  const wanted = new URLSearchParams({ limit: "20" });
  for (const name of [...FILTERS, "after"]) if (parameters.get(name)) wanted.set(name, parameters.get(name));
  return `/batches?${wanted}`;
}

function row(batch) {
  const link = h("a", { href: `/pages/batches/${batch.id}`, "data-batch": batch.id }, words(batch.kind), h("span", { class: "unseen" }, ` ${batch.id}`));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, link, h("br"), h("code", { class: "hint job-id", "aria-hidden": "true" }, short(batch.id))),
    h("td", {}, `${count(batch.total)} ${batch.varies}`),
    h("td", {}, h("div", { class: "tags" }, counted(batch.counts))),
    h("td", {}, h("div", { class: "tags" }, tags(batch))),
    h("td", { class: "nowrap", title: batch.created_at }, ago(batch.created_at)),
  );
}

/** Replace the rows, but give the focus back to the batch that had it. */
function showRows() {
  const focused = document.activeElement?.dataset.batch;
  show(by("rows"), page.batches.map(row));
  if (focused) by("rows").querySelector(`[data-batch="${focused}"]`)?.focus();
  by("empty").hidden = page.batches.length > 0;
  const filtered = [...FILTERS, "after"].some((name) => parameters.get(name));
  show(by("empty"), filtered ? "No batch here." : ["No batch yet. ", h("code", {}, "POST /batches"), " solves for many targets, or along a path of ridges."]);
  by("older").disabled = page.after === null;
  by("newest").disabled = !parameters.get("after");
}

async function look() {
  try {
    page = await getJson(query());
    showProblem(null);
    live(true);
  } catch (error) {
    showProblem(error);
    live(false);
  }
  showRows();
}

function live(answers) {
  by("live").classList.toggle("on", answers);
  by("live-words").textContent = answers ? "live" : "no answer";
}

async function watch() {
  for (;;) {
    await pause(page.batches.some((batch) => !batch.finished) ? BUSY : QUIET);
    if (document.visibilityState === "visible") await look();
  }
}

function go(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const search = parameters.toString();
  history.pushState(null, "", search ? `?${search}` : location.pathname);
  return look();
}

function readAddress() {
  parameters = new URLSearchParams(location.search);
  for (const name of FILTERS) by("filters").elements[name].value = parameters.get(name) ?? "";
}

begin(async () => {
  const filters = by("filters");
  readAddress();
  addEventListener("popstate", () => {
    readAddress();
    look();
  });
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    go({ finished: filters.elements.finished.value, tag: filters.elements.tag.value.trim(), after: null });
  });
  filters.elements.finished.addEventListener("change", () => filters.requestSubmit());
  by("older").addEventListener("click", () => go({ after: page.after }));
  by("newest").addEventListener("click", () => go({ after: null }));
  await look();
  await watch();
});
