// Several jobs over one another: their curves in one figure, their outcomes in one table.

import { getJson, patiently, pause } from "./api.js";
import { Chart } from "./chart.js";
import { Trace, clock, inWords } from "./curves.js";
import { by, h, show } from "./dom.js";
import { count, number, seconds, shape, short, words } from "./format.js";
import { begin, showProblem } from "./shell.js";
import { badge, ENDED, standing, tags, took } from "./status.js";

const [MOST, PAGE, LOOK] = [8, 10_000, 2000];
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
const MEASURES = { excess: "Loss above the job’s own lowest", gradient: "Gradient norm", decrement: "Newton decrement" };
const runs = [];
const chosen = { measure: "excess", axis: "iteration" };
let chart = null;
let due = false;

const ids = () => new URLSearchParams(location.search).getAll("job");

function curve(run, k) {
  const ys = { excess: () => run.trace.excess(), gradient: () => run.trace.column("gradient_norm"), decrement: () => run.trace.column("newton_decrement") };
  const xs = chosen.axis === "seconds" ? clock(run.trace) : run.trace.column("iteration");
  return { name: run.job.id, colour: `series-${k + 1}`, dash: DASHES[k % DASHES.length], xs, ys: ys[chosen.measure]() };
}

function draw() {
  const curves = runs.map(curve);
  chart.update([{ title: MEASURES[chosen.measure], log: true, height: 320, curves }]);
  chart.describe(`${MEASURES[chosen.measure]} of ${runs.length} jobs. ${runs.map((run) => `${run.job.kind}: ${inWords(run.trace.last)}`).join(" ")}`);
}

function drawSoon() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

const ROWS = [
  ["Status", ({ job }) => [badge(job), " ", standing(job)]],
  ["Tags", ({ job }) => h("div", { class: "tags" }, tags(job))],
  ["Shapes", ({ job }) => Object.entries(job.shapes).map(([name, sizes]) => h("div", {}, h("code", {}, name), ` ${shape(sizes)}`))],
  ["Loss", ({ job, trace }) => number(job.loss ?? trace.last?.loss, 8)],
  ["Gradient norm", ({ job, trace }) => number(job.gradient_norm ?? trace.last?.gradient_norm)],
  ["Iterations", ({ job, trace }) => count(job.iteration ?? trace.last?.iteration)],
  ["Time", ({ job }) => took(job)],
  ["of which, longest", ({ trace }) => longest(trace)],
  ["Hessian", ({ result }) => result && words(result.plan.hessian)],
  ["Certificate", ({ result }) => result && `${words(result.certificate.curvature)}, ${result.certificate.scope}`],
  ["Distance bound", ({ result }) => result && number(result.certificate.distance_bound)],
];

function longest(trace) {
  const [first] = trace.phaseTotals();
  return first && `${words(first[0])} ${seconds(first[1])}`;
}

function table() {
  const drop = (run) => h("button", { type: "button", class: "quiet small", "aria-label": `Remove ${run.job.id}`, click: () => go(ids().filter((id) => id !== run.job.id)) }, "Remove");
  const head = (run, k) => h("th", { scope: "col" }, h("span", { class: `key shade-${k + 1}` }), " ", h("a", { href: `/pages/jobs/${run.job.id}` }, words(run.job.kind)), h("br"), h("code", {}, short(run.job.id)), h("br"), drop(run));
  const row = ([name, cell]) => h("tr", {}, h("th", { scope: "row" }, name), runs.map((run) => h("td", {}, cell(run) ?? "–")));
  const heads = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen" }, "Figure")), runs.map(head)));
  show(by("table"), runs.length > 0 && h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "The jobs' outcomes" }, h("table", { class: "compared", "aria-label": "Compared jobs" }, heads, h("tbody", {}, ROWS.map(row)))));
}

async function load(id) {
  const job = await getJson(`/jobs/${id}`);
  return { job, trace: new Trace(), result: job.links.result ? await getJson(job.links.result) : null };
}

/** Read a trace by pages, no stream: a browser opens six connections to a place, and eight jobs may be compared. */
async function follow(run) {
  for (let after = null, finished = false; !finished; ) {
    const query = after === null ? "" : `&after=${after}`;
    const page = await patiently(() => getJson(`/jobs/${run.job.id}/trace?limit=${PAGE}${query}`));
    for (const record of page.records) run.trace.push(record);
    ({ after, finished } = page);
    drawSoon();
    if (!finished && page.records.length < PAGE) await pause(LOOK);
  }
  if (!ENDED.has(run.job.status)) Object.assign(run, { ...(await load(run.job.id)), trace: run.trace });
  table();
}

function go(wanted) {
  location.assign(`/pages/compare?${wanted.map((id) => `job=${encodeURIComponent(id)}`).join("&")}`);
}

async function suggest() {
  const { jobs } = await getJson("/jobs?limit=20");
  show(by("recent"), jobs.filter(({ id }) => !ids().includes(id)).map((job) => h("option", { value: job.id }, `${words(job.kind)} ${job.status}`)));
}

function listen() {
  by("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = by("add").elements.job.value.trim();
    if (id && !ids().includes(id)) go([...ids(), id].slice(-MOST));
  });
  for (const name of ["measure", "axis"]) {
    by(name).addEventListener("change", (event) => {
      chosen[name] = event.target.value;
      draw();
    });
  }
}

begin(async () => {
  listen();
  await suggest();
  by("empty").hidden = ids().length > 0;
  if (ids().length === 0) return;
  const loaded = await Promise.allSettled(ids().slice(0, MOST).map(load));
  const failure = loaded.find(({ status }) => status === "rejected");
  if (failure) showProblem(failure.reason);
  runs.push(...loaded.filter(({ status }) => status === "fulfilled").map(({ value }) => value));
  if (runs.length === 0) return;
  by("chart").hidden = false;
  chart = new Chart(by("chart"), "Comparison", (k) => runs.map((run) => `${short(run.job.id)}: ${inWords(run.trace.records[Math.min(k, run.trace.length - 1)])}`).join("\n"));
  table();
  draw();
  await Promise.all(runs.map(follow));
});
