// The API reference, from the service's own OpenAPI document.

import { getJson } from "./api.js";
import { by, h, show } from "./dom.js";
import { bounds, schemaList, typeOf } from "./schema.js";
import { begin } from "./shell.js";
import { tryIt } from "./tryit.js";

const anchor = (method, path) => `${method}${path.replaceAll(/[^a-z_]+/g, "-").replace(/-$/, "")}`;
const isJson = (type) => type.includes("json");

/** Return a text of the document, in which `code` is marked by back-quotes, as nodes. */
function marked(text) {
  return text.split("`").map((part, k) => (k % 2 ? h("code", {}, part) : part.replaceAll(/\s+/g, " ")));
}

function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((part) => h("p", {}, marked(part)));
}

/** Return every operation as {path, method, operation}, in the document's order. */
function operations(paths) {
  return Object.entries(paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
}

const badge = (method) => h("span", { class: `method ${method}` }, method.toUpperCase());

function parameters(operation) {
  if (!operation.parameters?.length) return null;
  const row = (each) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, each.name), each.required ? h("span", { class: "required" }, " required") : null), h("td", {}, each.in), h("td", {}, h("span", {}, typeOf(each.schema)), h("div", { class: "hint" }, bounds(each.schema))), h("td", {}, marked(each.description ?? each.schema.description ?? "")));
  const head = h("thead", {}, h("tr", {}, ["Parameter", "In", "Type", "What it is"].map((words) => h("th", { scope: "col" }, words))));
  return [h("h4", {}, "Parameters"), h("div", { class: "table-frame" }, h("table", { "aria-label": "Parameters" }, head, h("tbody", {}, operation.parameters.map(row))))];
}

function body(operation, schemas) {
  const content = operation.requestBody?.content;
  if (!content) return null;
  const types = Object.keys(content);
  const json = types.find(isJson) ?? types[0];
  return [
    h("h4", {}, "Body"),
    operation.requestBody.description && h("p", {}, marked(operation.requestBody.description)),
    h("p", { class: "hint" }, types.map((type, k) => [k > 0 ? " or " : "", h("code", {}, type)])),
    schemaList(content[json].schema ?? {}, schemas),
  ];
}

function answers(operation, schemas) {
  const row = ([status, answer]) => {
    const types = Object.keys(answer.content ?? {});
    const json = types.find(isJson);
    const headers = Object.keys(answer.headers ?? {}).filter((name) => name !== "X-Request-ID");
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, status),
      h("td", {}, marked(answer.description), headers.length > 0 && h("div", { class: "hint" }, `with ${headers.join(", ")}`), Number(status) < 300 && json && schemaList(answer.content[json].schema ?? {}, schemas)),
      h("td", {}, types.map((type) => h("div", {}, h("code", {}, type)))),
    );
  };
  const head = h("thead", {}, h("tr", {}, ["Status", "When", "As"].map((words) => h("th", { scope: "col" }, words))));
  return [h("h4", {}, "Answers"), h("div", { class: "table-frame" }, h("table", { "aria-label": "Answers" }, head, h("tbody", {}, Object.entries(operation.responses).map(row))))];
}

function endpoint({ path, method, operation }, schemas) {
  return h(
    "section",
    { class: "endpoint", id: anchor(method, path), "aria-labelledby": `${anchor(method, path)}-title` },
    h("h3", { id: `${anchor(method, path)}-title` }, badge(method), path),
    h("p", {}, h("strong", {}, operation.summary)),
    operation.description && paragraphs(operation.description),
    parameters(operation),
    body(operation, schemas),
    answers(operation, schemas),
    tryIt(path, method, operation),
  );
}

function contents(tags, all) {
  const link = ({ path, method, operation }) => h("li", {}, h("a", { href: `#${anchor(method, path)}`, title: operation.summary }, badge(method), path));
  return tags.map(({ name }) => [h("h2", {}, name), h("ul", {}, all.filter(({ operation }) => operation.tags.includes(name)).map(link))]);
}

begin(async () => {
  const document_ = await getJson("/openapi.json");
  const { schemas } = document_.components;
  const all = operations(document_.paths);
  const tagged = (name) => all.filter(({ operation }) => operation.tags.includes(name));
  by("reference-title").textContent = `${document_.info.title} ${document_.info.version}: API reference`;
  show(by("description"), h("div", { class: "stack" }, paragraphs(document_.info.description)));
  show(by("contents"), contents(document_.tags, all));
  const group = ({ name, description }) => [h("div", { class: "group-title" }, h("h2", { id: `tag-${name}` }, name), h("p", { class: "hint" }, description)), tagged(name).map((each) => endpoint(each, schemas))];
  show(by("endpoints"), document_.tags.map(group));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
});
