// A call of the API to try: its parameters, its body, the same by curl, and what comes back.

import { key, problemOf, request } from "./api.js";
import { copyable, h, show } from "./dom.js";
import { seconds } from "./format.js";

const SHOWN = 20_000;
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Return an operation's form; `base` is where the service is. */
export function tryIt(path, method, operation) {
  const call = new Call(path, method, operation);
  return h("details", { class: "try" }, h("summary", {}, "Try it"), call.node);
}

class Call {
  constructor(path, method, operation) {
    Object.assign(this, { path, method, operation });
    const change = () => this.showCurl();
    this.inputs = (operation.parameters ?? []).map((parameter) => ({ parameter, input: control(parameter, change) }));
    this.bodies = Object.entries(operation.requestBody?.content ?? {});
    this.accepts = [...new Set(Object.entries(operation.responses).filter(([status]) => status < 300).flatMap(([, answer]) => Object.keys(answer.content ?? {})))];
    this.accept = choice("Answer as", this.accepts, change);
    this.type = choice("Body as", this.bodies.map(([type]) => type).filter((type) => !type.startsWith("multipart/")), () => this.showBody());
    this.example = choice("Example", this.examples(), () => this.showBody());
    this.text = h("textarea", { class: "code", rows: "8", spellcheck: "false", "aria-label": "Body", input: change });
    this.file = h("input", { type: "file", "aria-label": "Body, from a file", change });
    this.curl = copyable("", `${method} ${path} by curl`);
    this.answer = h("div", { "aria-live": "polite" });
    this.node = this.form();
    this.showBody();
  }

  form() {
    const send = (event) => {
      event.preventDefault();
      this.send();
    };
    const fields = this.inputs.map(({ parameter, input }) => h("label", { class: "field", title: parameter.description }, h("span", {}, parameter.name, parameter.required ? " *" : "", ` (${parameter.in})`), input));
    const choices = [this.type, this.example, this.accept].filter(({ select }) => select.options.length > 1).map(({ label }) => label);
    const body = this.bodies.length > 0 && [this.text, this.binary() && this.file];
    const go = h("button", { type: "submit", class: this.method === "delete" ? "danger" : "primary" }, `Send ${this.method.toUpperCase()}`);
    return h("form", { class: "stack", submit: send }, h("div", { class: "fields" }, fields, choices), body, this.curl.node, go, this.answer);
  }

  examples() {
    return Object.keys(this.bodies.find(([type]) => type === "application/json")?.[1].examples ?? {});
  }

  binary() {
    return this.bodies.some(([, { schema }]) => schema?.format === "binary");
  }

  showBody() {
    const examples = this.bodies.find(([type]) => type === "application/json")?.[1].examples;
    if (examples) this.text.value = JSON.stringify(examples[this.example.select.value].value, null, 1);
    this.showCurl();
  }

  url() {
    let path = this.path;
    const query = new URLSearchParams();
    for (const { parameter, input } of this.inputs) {
      if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, input.value ? encodeURIComponent(input.value).replaceAll("%3A", ":") : `{${parameter.name}}`);
      else if (parameter.in === "query" && input.value !== "") query.set(parameter.name, input.value);
    }
    return query.size > 0 ? `${path}?${query}` : path;
  }

  headers() {
    const given = this.inputs.filter(({ parameter, input }) => parameter.in === "header" && input.value !== "").map(({ parameter, input }) => [parameter.name, input.value]);
    const headers = Object.fromEntries(given);
    if (this.accepts.length > 1) headers.Accept = this.accept.select.value;
    if (this.bodies.length > 0 && this.type.select.value) headers["Content-Type"] = this.type.select.value;
    return headers;
  }

  body() {
    if (this.bodies.length === 0) return undefined;
    return this.file.files[0] ?? this.text.value;
  }

  showCurl() {
    const key_ = key() ? [`-H ${quoted("Authorization: Bearer $KEY")}`] : [];
    const headers = Object.entries(this.headers()).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
    const body = this.body();
    const data = body === undefined ? [] : body instanceof File ? [`--data-binary ${quoted(`@${body.name}`)}`] : [`-d ${quoted(body)}`];
    const method = { get: [], post: body === undefined ? ["-X POST"] : [] }[this.method] ?? [`-X ${this.method.toUpperCase()}`];
    this.curl.code.textContent = ["curl -s", ...method, quoted(location.origin + this.url()), ...key_, ...headers, ...data].join(" ").replace("'Authorization: Bearer $KEY'", '"Authorization: Bearer $KEY"');
  }

  async send() {
    const began = performance.now();
    show(this.answer, h("p", { class: "hint" }, "Sent…"));
    try {
      const response = await request(this.url(), { method: this.method.toUpperCase(), headers: this.headers(), body: this.body() });
      this.showAnswer(response.status, response.headers.get("Content-Type") ?? "", await response.text(), began);
    } catch (error) {
      const problem = error.problem ?? problemOf(0, "");
      this.showAnswer(problem.status || "no answer", "application/problem+json", JSON.stringify(error.problem ?? { detail: error.message }), began);
    }
  }

  showAnswer(status, type, text, began) {
    const pretty = /json$/.test(type) ? indented(text) : text;
    const cut = pretty.length > SHOWN ? `${pretty.slice(0, SHOWN)}\n… ${pretty.length - SHOWN} characters more` : pretty;
    const words = h("p", {}, h("strong", {}, String(status)), ` ${type} in ${seconds((performance.now() - began) / 1000)}`);
    show(this.answer, words, cut && h("pre", { class: "code", tabindex: "0", "aria-label": "The answer" }, cut));
  }
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

function control(parameter, input) {
  const { schema } = parameter;
  const options = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  if (options) return h("select", { input }, h("option", { value: "" }, "–"), options.map((value) => h("option", {}, String(value))));
  return h("input", { class: "code", autocomplete: "off", spellcheck: "false", placeholder: schema.default === undefined ? null : String(schema.default), input });
}

function choice(words, options, change) {
  const select = h("select", { change }, options.map((option) => h("option", {}, option)));
  return { select, label: h("label", { class: "field" }, h("span", {}, words), select) };
}
