// The solution itself, as far as a page holds it: the largest coefficients, by name.

import { getJson } from "./api.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";

const [MOST_READ, MOST_SHOWN] = [20_000, 24];

/** Return the largest coefficients of a result as a table with bars, null where there is no x to show. */
export async function coefficients(result) {
  const array = result.arrays.x;
  if (!array || array.shape.length !== 1 || array.shape[0] > MOST_READ) return null;
  const { values } = await getJson(array.href);
  const named = values.map((value, k) => [result.column_names?.[k] ?? `x[${k}]`, value]);
  const largest = [...named].sort((one, two) => Math.abs(two[1]) - Math.abs(one[1])).slice(0, MOST_SHOWN);
  const words = named.length > largest.length ? `The ${largest.length} largest of ${count(named.length)} coefficients.` : "The coefficients, largest first.";
  const intercept = result.intercept === null ? "" : ` The intercept is ${number(result.intercept, 8)}.`;
  return [h("p", { class: "hint" }, words, intercept), h("div", { class: "table-frame" }, table(largest))];
}

function table(largest) {
  const widest = Math.abs(largest[0][1]) || 1;
  const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Column"), h("th", { scope: "col", class: "number" }, "Coefficient"), h("th", { scope: "col", class: "bars" }, h("span", { class: "unseen" }, "Bar"))));
  return h("table", { class: "coefficients", "aria-label": "Largest coefficients" }, head, h("tbody", {}, largest.map(([name, value]) => row(name, value, Math.abs(value) / widest))));
}

function row(name, value, share) {
  const bar = h("span", { class: value < 0 ? "bar negative" : "bar" });
  bar.style.width = `${50 * share}%`;
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, number(value, 6)), h("td", { class: "bars", "aria-hidden": "true" }, bar));
}
