// The list of jobs, newest first, looked at again every moment.

import { by, h, show } from "./dom.js";
import { ago, count, number, short, words } from "./format.js";
import { list } from "./listing.js";
import { begin } from "./shell.js";
import { badge, ENDED, standing, tags, took } from "./status.js";

const MOST_COMPARED = 8;
const chosen = new Set();

function row(job) {
  const choose = (event) => {
    if (event.target.checked) chosen.add(job.id);
    else chosen.delete(job.id);
    showChosen();
  };
  const box = h("input", { type: "checkbox", "aria-label": `Choose ${job.id} to compare`, checked: chosen.has(job.id), change: choose });
  return h(
    "tr",
    { "data-id": job.id },
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

function showNone(node, filtered) {
  show(node, filtered ? "No job here." : ["No job yet. ", h("a", { href: "/pages/solve" }, "Solve an example"), " to see one."]);
}

begin(() => {
  by("compare").addEventListener("click", () => location.assign(`/pages/compare?${[...chosen].map((id) => `job=${id}`).join("&")}`));
  return list({ path: "/jobs", name: "jobs", filters: ["status", "tag"], row, busy: (job) => !ENDED.has(job.status), showNone });
});
