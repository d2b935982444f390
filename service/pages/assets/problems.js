// The catalogue: each kind with its formula, its symbols, its arrays and its source.

import { getJson } from "./api.js";
import { by, copyable, h, show } from "./dom.js";
import { symbol, typeset } from "./formula.js";
import { begin } from "./shell.js";

const isWord = (name) => /^[a-z]{2,}$/.test(name);

function symbols(problem) {
  const entry = ([name, meaning]) => [h("dt", {}, isWord(name) ? h("code", {}, name) : symbol(name)), h("dd", {}, meaning)];
  return h("dl", { class: "symbols" }, Object.entries(problem.symbols).map(entry));
}

function roles(arrays, label) {
  const row = ([name, role]) =>
    h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", { class: "nowrap" }, role.shape.join(" × ")), h("td", {}, role.meaning, role.required ? null : h("span", { class: "hint" }, " · optional")));
  const head = h("thead", {}, h("tr", {}, ["Array", "Shape", "What it is"].map((words) => h("th", { scope: "col" }, words))));
  return h("div", { class: "table-frame" }, h("table", { "aria-label": label }, head, h("tbody", {}, Object.entries(arrays).map(row))));
}

function curl(problem) {
  const body = JSON.stringify(problem.example).replaceAll("'", "'\\''");
  return `curl -s ${location.origin}/solve -H 'Content-Type: application/json' -d '${body}'`;
}

function entry(problem) {
  const id = `kind-${problem.kind}`;
  return h(
    "section",
    { id: problem.kind, class: "kind", "aria-labelledby": id },
    h("div", { class: "section-row" }, h("h2", { id }, problem.title), h("code", { class: "hint" }, problem.kind), h("span", { class: "spacer" }), h("a", { class: "button", href: `/pages/solve?kind=${problem.kind}`, "aria-label": `Solve: ${problem.title}` }, "Solve one")),
    h("p", { class: "formula", "aria-label": problem.formula, role: "group" }, typeset(problem.formula)),
    symbols(problem),
    h("h3", {}, "Arrays in"),
    roles(problem.inputs, `Arrays that ${problem.kind} takes`),
    h("h3", {}, "Arrays out"),
    roles(problem.results, `Arrays that ${problem.kind} returns`),
    h("h3", {}, "Source"),
    h("p", {}, problem.reference),
    problem.differences.length > 0 && [h("p", { class: "hint" }, "What differs from it:"), h("ul", {}, problem.differences.map((words) => h("li", {}, words)))],
    h("details", {}, h("summary", {}, "An example, by curl"), copyable(curl(problem), `Example of ${problem.kind}, by curl`).node),
  );
}

begin(async () => {
  const { problems } = await getJson("/problems");
  show(by("contents"), problems.map(({ kind, title }) => h("li", {}, h("a", { href: `#${kind}` }, title))));
  const entries = await Promise.all(problems.map(({ href }) => getJson(href)));
  show(by("kinds"), entries.map(entry));
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
});
