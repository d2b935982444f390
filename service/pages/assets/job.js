// One job: its curves as they grow, then what came out and what is proven of it.

import { ApiError, getJson, patiently, pause, request } from "./api.js";
import { certificate } from "./certificate.js";
import { Chart } from "./chart.js";
import { coefficients } from "./coefficients.js";
import { Trace, inWords, marks, panels } from "./curves.js";
import { announce, by, h, notice, pairs, show } from "./dom.js";
import { resultArrays, traceDownloads } from "./downloads.js";
import { ago, count, number, seconds, words } from "./format.js";
import { input } from "./picture.js";
import { plan } from "./plan.js";
import { begin, confirmed, showProblem } from "./shell.js";
import { badge, ENDED, standing, tags, took } from "./status.js";
import { records } from "./stream.js";

const id = location.pathname.split("/").at(-1);
const here = `/jobs/${id}`;
const LOOK = 1000;
const TABLE_ROWS = 200;
const trace = new Trace();
let job = null;
let axis = "iteration";

function tiles() {
  const entry = (term, value, remark) => h("div", {}, h("dt", {}, term), h("dd", {}, value, remark && h("small", {}, remark)));
  const resumed = job.resumed_from_iteration === null ? null : `went on from iteration ${job.resumed_from_iteration}`;
  return [
    entry("Outcome", job.termination ? words(job.termination) : job.status, job.termination ? null : standing(job)),
    entry("Loss", number(job.loss ?? trace.last?.loss, 7)),
    entry("Gradient norm", number(job.gradient_norm ?? trace.last?.gradient_norm)),
    entry("Iterations", count(Math.max(job.iteration ?? 0, trace.last?.iteration ?? 0))),
    entry("Time", took(job), `asked for ${ago(job.created_at)}`),
    entry("Attempts", count(job.attempt), resumed),
  ];
}

function showJob(title) {
  document.title = `${words(job.kind)} ${job.status} · newtond`;
  by("job-title").textContent = job.task === "plan" ? `${title}: a plan` : title;
  show(by("job-status"), badge(job));
  show(by("job-tags"), job.batch && h("a", { href: `/pages/batches/${job.batch}` }, "Part of a batch"), tags(job));
  show(by("tiles"), tiles());
  by("cancel").hidden = ENDED.has(job.status);
  by("cancel").disabled = job.cancel_requested;
  by("delete").hidden = false;
  const error = job.error && h("div", { class: "notice bad" }, h("strong", {}, job.error.title), h("p", {}, job.error.detail));
  show(by("notices"), error, job.warnings.map((warning) => notice("warn", warning)));
}

function showTrace(chart) {
  chart.update(panels(trace, axis), marks(trace, axis));
  chart.describe(`Convergence over ${trace.length} iterations: loss, gradient norm and step size. ${inWords(trace.last)}`);
  show(by("phases"), phases());
  if (job) show(by("tiles"), tiles());
  if (by("trace-details").open) show(by("trace-table"), table());
}

function phases() {
  const totals = trace.phaseTotals();
  const whole = totals.reduce((sum, [, spent]) => sum + spent, 0);
  if (whole === 0) return null;
  const bar = totals.map(([, spent], k) => {
    const part = h("span", { class: `shade-${(k % 8) + 1}` });
    part.style.flex = `${spent / whole} 0 0`;
    return part;
  });
  const legend = totals.map(([name, spent], k) => h("li", {}, h("span", { class: `key shade-${(k % 8) + 1}` }), `${words(name)} ${seconds(spent)} (${number((100 * spent) / whole, 2)} %)`));
  return [h("h3", {}, "Where the time goes"), h("div", { class: "phases", "aria-hidden": "true" }, bar), h("ul", { class: "legend" }, legend)];
}

function table() {
  const heads = ["Iteration", "Loss", "Gradient norm", "Decrement", "Step", "CG", "Seconds", "Attempt"];
  const row = (record) => {
    const cells = [number(record.loss, 8), number(record.gradient_norm), number(record.newton_decrement), number(record.step_size), record.cg_iterations ?? "–", number(record.seconds), record.attempt];
    return h("tr", {}, h("th", { scope: "row", class: "number" }, count(record.iteration)), cells.map((cell) => h("td", { class: "number" }, String(cell))));
  };
  const shown = trace.records.slice(-TABLE_ROWS).reverse();
  const head = h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col", class: "number" }, name))));
  const rest = trace.length > shown.length && h("p", { class: "hint" }, `The last ${shown.length} of ${count(trace.length)}; the files have them all.`);
  return [h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "The trace" }, h("table", { "aria-label": "Trace, newest first" }, head, h("tbody", {}, shown.map(row)))), rest];
}

async function followTrace(chart) {
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      showTrace(chart);
    });
  };
  const hear = (broken) => by("chart").classList.toggle("broken", broken);
  for await (const record of records(`${here}/trace`, hear)) {
    trace.push(record);
    soon();
  }
  showTrace(chart);
}

async function followJob(title) {
  // a look now and then, no long poll: a browser opens six connections to a place, for all of its tabs
  let known = null;
  while (!ENDED.has(job.status)) {
    const headers = known ? { "If-None-Match": known } : {};
    const response = await patiently(() => request(here, { headers }));
    if (response.status !== 304) {
      known = response.headers.get("ETag");
      job = await response.json();
      showJob(title);
    }
    if (!ENDED.has(job.status)) await pause(LOOK);
  }
}

async function showResult() {
  if (job.plan) showPlan(job.plan);
  if (!job.links.result) return;
  const result = await getJson(job.links.result);
  show(by("certificate"), certificate(result));
  const made = Object.entries(result.provenance).map(([name, value]) => [words(name), String(value)]);
  show(by("arrays"), await coefficients(result), resultArrays(job, result), h("details", {}, h("summary", {}, "Made by"), pairs(made)));
  for (const part of ["certificate", "arrays"]) by(`${part}-section`).hidden = false;
  showPlan(result.plan);
  announce(`The job has ended: ${words(result.termination)}.`);
}

function showPlan(chosen) {
  show(by("plan"), plan(chosen));
  by("plan-section").hidden = false;
}

async function showInputs(roles) {
  const entries = Object.entries(job.inputs);
  const one = ([name, array]) => input(name, array, roles[name]?.meaning).catch((error) => gone(name, error));
  show(by("inputs"), h("div", { class: "inputs" }, await Promise.all(entries.map(one))));
}

function gone(name, error) {
  if (!(error instanceof ApiError)) throw error;
  return h("p", { class: "hint" }, h("code", {}, name), `: ${error.message}`);
}

async function cancel() {
  if (!(await confirmed("Cancel this job?", "It stops at the next iteration and keeps the best point so far.", "Cancel the job"))) return;
  const response = await request(`${here}/cancel`, { method: "POST" });
  job = await response.json();
  show(by("job-status"), badge(job));
  by("cancel").disabled = true;
}

async function remove() {
  if (!(await confirmed("Delete this job?", "Its trace, certificate and result go for good. The arrays that it read stay.", "Delete the job"))) return;
  await request(here, { method: "DELETE" });
  location.assign("/");
}

begin(async () => {
  by("job-id").textContent = id;
  by("cancel").addEventListener("click", () => cancel().catch((error) => showProblem(error)));
  by("delete").addEventListener("click", () => remove().catch((error) => showProblem(error)));
  job = await getJson(here);
  const problem = await getJson(`/problems/${job.kind}`);
  showJob(problem.title);
  show(by("trace-downloads"), traceDownloads(job));
  const chart = new Chart(by("chart"), "Convergence", (k) => inWords(trace.records[k]));
  by("trace-details").addEventListener("toggle", () => showTrace(chart));
  by("axis").addEventListener("change", (event) => {
    axis = event.target.value;
    showTrace(chart);
  });
  showTrace(chart);
  const ends = followJob(problem.title).then(showResult);
  await Promise.all([ends, followTrace(chart), showInputs(problem.inputs)]);
});
