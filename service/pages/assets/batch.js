// One batch: its jobs as they end, what each has of its own, and what is proven of it.

import { getJson, patiently, pause, request } from "./api.js";
import { by, h, show, showRows } from "./dom.js";
import { summaryDownloads } from "./downloads.js";
import { ago, count, number, seconds, short, words } from "./format.js";
import { begin, confirmed, showProblem } from "./shell.js";
import { badge, counted, tags } from "./status.js";

const id = location.pathname.split("/").at(-1);
const here = `/batches/${id}`;
const [LOOK, MOST_COMPARED, MOST_LOOKED_AT] = [1000, 8, 8];
const chosen = new Set();
let batch = null;
let running = new Map();

function tiles() {
  const entry = (term, value, remark) => h("div", {}, h("dt", {}, term), h("dd", {}, value, remark && h("small", {}, remark)));
  const ended = batch.members.filter(({ status }) => !["queued", "running"].includes(status)).length;
  const spent = batch.members.reduce((sum, member) => sum + (member.seconds ?? 0), 0);
  const open = batch.members.filter(({ converged }) => converged === false).length;
  return [
    entry("Ended", `${count(ended)} of ${count(batch.total)}`, `asked for ${ago(batch.created_at)}`),
    entry("Converged", count(batch.members.filter(({ converged }) => converged).length), open > 0 ? `${count(open)} did not` : null),
    entry("Iterations", count(batch.members.reduce((sum, member) => sum + (member.iterations ?? 0), 0))),
    entry("Time of all", spent > 0 ? seconds(spent) : "–"),
  ];
}

const own = (member) => (batch.varies === "ridges" ? number(member.ridge) : h("code", { class: "job-id", title: member.b }, short(member.b)));

function row(member, k) {
  const now = running.get(member.job_id) ?? { iteration: member.iterations, loss: member.loss, gradient_norm: member.gradient_norm };
  const gone = member.status === "deleted";
  const choose = (event) => {
    if (event.target.checked) chosen.add(member.job_id);
    else chosen.delete(member.job_id);
    showCompare();
  };
  const box = h("input", { type: "checkbox", "aria-label": `Choose job ${k + 1} to compare`, checked: chosen.has(member.job_id), disabled: gone, change: choose });
  const named = [count(k + 1), h("span", { class: "unseen" }, ` ${member.job_id}`)];
  const why = member.error ? member.error.split(":").at(-1).replaceAll("-", " ") : member.termination && words(member.termination);
  return h(
    "tr",
    { "data-id": member.job_id },
    h("td", {}, box),
    h("th", { scope: "row" }, gone ? named : h("a", { href: `/pages/jobs/${member.job_id}` }, named), h("br"), h("code", { class: "hint job-id", "aria-hidden": "true" }, short(member.job_id))),
    h("td", { class: "nowrap" }, own(member)),
    h("td", {}, badge(member), h("div", { class: "hint" }, why)),
    h("td", { class: "number" }, count(now.iteration)),
    h("td", { class: "number" }, number(now.loss, 6)),
    h("td", { class: "number" }, number(now.gradient_norm, 3)),
    h("td", { class: "number" }, seconds(member.seconds)),
    h("td", {}, member.curvature ? words(member.curvature) : "–"),
  );
}

/** Lead to the comparison of what is chosen, or of the first few. */
function showCompare() {
  const there = batch.members.filter(({ status }) => status !== "deleted").map(({ job_id }) => job_id);
  const picked = there.filter((job) => chosen.has(job));
  const shown = (picked.length > 0 ? picked : there).slice(0, MOST_COMPARED);
  const all = shown.length === there.length ? `Compare all ${shown.length}` : `Compare the first ${shown.length}`;
  const cut = picked.length > shown.length ? `the first ${shown.length} chosen` : `chosen (${picked.length})`;
  by("compare").hidden = shown.length === 0;
  by("compare").textContent = picked.length > 0 ? `Compare ${cut}` : all;
  by("compare").href = `/pages/compare?${shown.map((job) => `job=${job}`).join("&")}`;
}

function showBatch() {
  show(by("batch-counts"), counted(batch.counts));
  show(by("batch-tags"), tags(batch));
  show(by("tiles"), tiles());
  showRows(by("rows"), batch.members.map(row));
  showCompare();
  by("cancel").hidden = batch.finished;
  by("delete").hidden = false;
}

async function look() {
  batch = await getJson(here);
  const busy = batch.members.filter(({ status }) => status === "running").slice(0, MOST_LOOKED_AT);
  const jobs = await Promise.allSettled(busy.map(({ links }) => getJson(links.job)));
  running = new Map(jobs.filter(({ status }) => status === "fulfilled").map(({ value }) => [value.id, value]));
  showBatch();
}

async function follow() {
  while (!batch.finished) {
    await pause(LOOK);
    if (document.visibilityState === "visible") await patiently(look);
  }
}

async function cancel() {
  if (!(await confirmed("Cancel this batch?", "Every job that has not ended stops and keeps the best point so far.", "Cancel the batch"))) return;
  await request(`${here}/cancel`, { method: "POST" });
  await look();
}

async function remove() {
  if (!(await confirmed("Delete this batch?", "Its jobs go for good, with their traces, certificates and results. The arrays that they read stay.", "Delete the batch"))) return;
  await request(here, { method: "DELETE" });
  location.assign("/pages/batches");
}

begin(async () => {
  by("batch-id").textContent = id;
  by("cancel").addEventListener("click", () => cancel().catch((error) => showProblem(error)));
  by("delete").addEventListener("click", () => remove().catch((error) => showProblem(error)));
  batch = await getJson(here);
  const problem = await getJson(`/problems/${batch.kind}`);
  document.title = `${count(batch.total)} ${batch.varies} of ${words(batch.kind)} · newtond`;
  by("batch-title").textContent = `${problem.title}: ${count(batch.total)} ${batch.varies}`;
  by("own").textContent = batch.varies === "ridges" ? "Ridge" : "Target";
  show(by("downloads"), summaryDownloads(() => batch));
  await look();
  await follow();
});
