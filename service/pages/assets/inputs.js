// The arrays of a solve: each typed as JSON, uploaded from a file, or named by its id.

import { upload } from "./api.js";
import { announce, h, show } from "./dom.js";
import { parsed } from "./fields.js";
import { bytes, shape, short } from "./format.js";
import { showProblem } from "./shell.js";

const FORMATS = {
  mtx: "mtx", npz: "npz", npy: "npy", json: "json", arrow: "arrow", feather: "arrow", ipc: "arrow",
  svmlight: "svmlight", libsvm: "svmlight", svm: "svmlight",
};
const ID = /^sha256:[0-9a-f]{64}$/;

/** Return an array as JSON, a row a line. */
export function written(array) {
  if (typeof array === "string") return array;
  if (!Array.isArray(array) || !Array.isArray(array[0])) return JSON.stringify(array);
  return `[\n${array.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n]`;
}

/** One array: its role, a text for what it is, and a file to put in its place. */
export class ArrayInput {
  constructor(name, role, pointer, changed) {
    this.name = name;
    this.role = role;
    this.pointer = pointer;
    this.changed = changed;
    this.text = h("textarea", { class: "code", rows: "3", spellcheck: "false", "aria-label": `${name}, as JSON or as an id`, "data-pointer": pointer, placeholder: pointer === `/${name}` ? "JSON, or sha256:…" : "a word, a number, JSON, or sha256:…", input: changed });
    this.file = h("input", { type: "file", "aria-label": `${name}, from a file`, change: () => this.send() });
    this.state = h("div", { class: "hint", role: "status" });
    const about = h("div", {}, h("h3", {}, h("code", {}, name), role.required ? " *" : ""), h("p", { class: "hint" }, role.meaning), h("p", { class: "hint" }, role.shape.join(" × "), role.sparse ? ", sparse or dense" : "", role.required ? "" : ", optional"));
    this.node = h("div", { class: "input array" }, about, h("div", { class: "stack" }, this.text, this.file, this.state));
  }

  fill(array) {
    this.text.value = array === undefined ? "" : written(array);
    this.text.rows = Math.min(Math.max(this.text.value.split("\n").length, 2), 8);
    this.file.value = "";
    show(this.state);
  }

  /** Return the array as it goes into the body, undefined if there is none; throws FieldError. */
  value() {
    const text = this.text.value.trim();
    if (text === "" || ID.test(text)) return text || undefined;
    return parsed(text, this.pointer);
  }

  async send() {
    const [file] = this.file.files;
    if (!file) return;
    const bar = h("progress", { max: "1", value: "0", "aria-label": `Upload of ${this.name}` });
    const words = h("span", {}, `${bytes(file.size)} to send`);
    show(this.state, bar, words);
    const progress = (sent, size) => {
      bar.value = sent / size;
      words.textContent = sent < size ? `${bytes(sent)} of ${bytes(size)}` : "sent; the server reads it";
    };
    try {
      const answer = await upload(`/arrays${query(file.name)}`, file, encoding(file.name), progress);
      const info = answer.arrays ? answer.arrays[this.name] : answer;
      if (!info) return showProblem({ problem: missing(file.name, answer.arrays, this.name) }, this.state);
      this.text.value = info.id;
      this.text.rows = 2;
      const done = `${file.name}: ${shape(info.shape)}, ${info.format === "csr" ? "sparse" : "dense"}, stored as ${short(info.id)}`;
      show(this.state, done);
      announce(`${this.name} is stored.`);
      this.changed();
    } catch (error) {
      showProblem(error, this.state);
    }
  }
}

function missing(file, arrays, name) {
  return { title: "Not in this file", detail: `${file} holds ${Object.keys(arrays).join(" and ")}, not ${name}.` };
}

function suffix(name) {
  return name.toLowerCase().replace(/\.gz$/, "").split(".").at(-1);
}

/** The format goes by the file's name: a browser knows no media type of these. */
function query(name) {
  const format = FORMATS[suffix(name)];
  return format ? `?format=${format}` : "";
}

function encoding(name) {
  const headers = { "Content-Type": "application/octet-stream" };
  return name.toLowerCase().endsWith(".gz") ? { ...headers, "Content-Encoding": "gzip" } : headers;
}
