// Everything that a job has made, as files.

import { download, save } from "./api.js";
import { h } from "./dom.js";
import { shape } from "./format.js";
import { showProblem } from "./shell.js";

const ARRAYS = { npy: "application/x-npy", mtx: "text/x-matrix-market", csv: "text/csv", json: "application/json" };
const TRACES = { csv: "text/csv", ndjson: "application/x-ndjson" };

function button(path, accept, name, words, label) {
  const save = () => download(path, accept, name).catch((error) => showProblem(error));
  return h("button", { type: "button", class: "small", "aria-label": label, click: save }, words);
}

/** Return the table of a result's arrays, with a button for each format. */
export function resultArrays(job, result) {
  const row = ([name, array]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("code", {}, name)),
      h("td", {}, array.meaning),
      h("td", { class: "nowrap" }, shape(array.shape)),
      h("td", {}, h("div", { class: "downloads" }, Object.entries(ARRAYS).map(([suffix, accept]) => button(array.href, accept, `${name}.${suffix}`, suffix, `Download ${name} as ${suffix}`)))),
    );
  const head = h("thead", {}, h("tr", {}, ["Array", "What it is", "Shape", "Download"].map((words) => h("th", { scope: "col" }, words))));
  const table = h("table", { "aria-label": "Arrays of the result" }, head, h("tbody", {}, Object.entries(result.arrays).map(row)));
  const whole = button(job.links.result, "application/json", `${job.id}.json`, "result and certificate, json", "Download the result and its certificate as json");
  return [h("div", { class: "table-frame" }, table), h("div", { class: "downloads" }, h("span", {}, "Download"), whole)];
}

const COLUMNS = ["job_id", "ridge", "b", "status", "termination", "converged", "iterations", "loss", "gradient_norm", "curvature", "seconds", "error"];

function csv(batch) {
  const line = (member) => COLUMNS.map((name) => member[name] ?? "").join(",");
  return `${[COLUMNS.join(","), ...batch.members.map(line)].join("\n")}\n`;
}

/** Return the buttons that save a batch's summary; its table holds ids, numbers and words of the contract alone. */
export function summaryDownloads(latest) {
  const table = () => save(new Blob([csv(latest())], { type: "text/csv" }), `${latest().id}.csv`);
  const whole = button(latest().links.self, "application/json", `${latest().id}.json`, "summary.json", "Download the summary as json");
  return [h("span", {}, "Download"), h("button", { type: "button", class: "small", "aria-label": "Download the summary as csv", click: table }, "summary.csv"), whole];
}

/** Return the buttons that save a trace. */
export function traceDownloads(job) {
  const one = ([suffix, accept]) => button(job.links.trace, accept, `${job.id}-trace.${suffix}`, `trace.${suffix}`, `Download the trace as ${suffix}`);
  return [h("span", {}, "Download"), Object.entries(TRACES).map(one)];
}
