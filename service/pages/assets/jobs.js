// The list of jobs, newest first, looked at again every moment.

import { getJson, pause } from "./api.js";
import { by, h, show } from "./dom.js";
import { ago, count, number, short, words } from "./format.js";
import { begin, showProblem } from "./shell.js";
import { badge, ENDED, standing, tags, took } from "./status.js";

const [BUSY, QUIET] = [2000, 6000];
const MOST_COMPARED = 8;
const chosen = new Set();
let parameters = new URLSearchParams(location.search);
let page = { jobs: [], after: null };

function query() {
  const wanted = new URLSearchParams({ limit: "20" });
  for (const name of ["status", "tag", "after"]) if (parameters.get(name)) wanted.set(name, parameters.get(name));
  return `/jobs?${wanted}`;
}

function row(job) {
  const choose = (event) => {
    if (event.target.checked) chosen.add(job.id);
    else chosen.delete(job.id);
    showChosen();
  };
  const box = h("input", { type: "checkbox", "aria-label": `Choose ${job.id} to compare`, checked: chosen.has(job.id), change: choose, "data-job": job.id });
  return h(
    "tr",
    {},
    h("td", {}, box),
    h("th", { scope: "row" }, h("a", { href: `/pages/jobs/${job.id}` }, words(job.kind), h("span", { class: "unseen" }, ` ${job.id}`)), job.task === "plan" ? " plan" : "", h("br"), h("code", { class: "hint job-id", "aria-hidden": "true" }, short(job.id))),
    h("td", {}, badge(job), h("div", { class: "hint" }, standing(job))),
    h("td", {}, h("div", { class: "tags" }, tags(job))),
    h("td", { class: "number" }, count(job.iteration)),
    h("td", { class: "number" }, number(job.loss)),
    h("td", { class: "number" }, number(job.gradient_norm, 3)),
    h("td", { class: "number" }, took(job)),
    h("td", { class: "nowrap", title: job.created_at }, ago(job.created_at)),
  );
}

function showChosen() {
  by("compare").disabled = chosen.size < 1 || chosen.size > MOST_COMPARED;
  by("compare").textContent = chosen.size > MOST_COMPARED ? `Compare at most ${MOST_COMPARED}` : `Compare chosen${chosen.size ? ` (${chosen.size})` : ""}`;
}

/** Replace the rows, but give the focus back to the job that had it. */
function showRows() {
  const focused = document.activeElement?.closest?.("#rows tr")?.querySelector("input")?.dataset.job;
  const kind = document.activeElement?.tagName;
  show(by("rows"), page.jobs.map(row));
  if (focused) by("rows").querySelector(`input[data-job="${focused}"]`)?.closest("tr").querySelector(kind.toLowerCase())?.focus();
  by("empty").hidden = page.jobs.length > 0;
  const filtered = parameters.get("status") || parameters.get("tag") || parameters.get("after");
  show(by("empty"), filtered ? "No job here." : ["No job yet. ", h("a", { href: "/pages/solve" }, "Solve an example"), " to see one."]);
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
    const busy = page.jobs.some((job) => !ENDED.has(job.status));
    await pause(busy ? BUSY : QUIET);
    if (document.visibilityState === "visible") await look();
  }
}

function go(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const search = parameters.toString();
  history.pushState(null, "", search ? `/?${search}` : "/");
  return look();
}

function readAddress() {
  parameters = new URLSearchParams(location.search);
  by("filters").elements.status.value = parameters.get("status") ?? "";
  by("filters").elements.tag.value = parameters.get("tag") ?? "";
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
    go({ status: filters.elements.status.value, tag: filters.elements.tag.value.trim(), after: null });
  });
  filters.elements.status.addEventListener("change", () => filters.requestSubmit());
  by("older").addEventListener("click", () => go({ after: page.after }));
  by("newest").addEventListener("click", () => go({ after: null }));
  by("compare").addEventListener("click", () => location.assign(`/pages/compare?${[...chosen].map((id) => `job=${id}`).join("&")}`));
  await look();
  await watch();
});
