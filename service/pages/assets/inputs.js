// The arrays of a solve: each typed as JSON, uploaded from a file, or named by its id.

import { upload } from "./api.js";
import { announce, h, show } from "./dom.js";
import { parsed } from "./fields.js";
import { bytes, shape, short } from "./format.js";
import { showProblem } from "./shell.js";

const ENDINGS = {
  mtx: "mtx",
  npz: "npz",
  npy: "npy",
  svmlight: "svmlight",
  libsvm: "svmlight",
  svm: "svmlight",
  arrow: "arrow",
  feather: "arrow",
  ipc: "arrow",
  json: "json",
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
  constructor(name, role, pointer, changed, all) {
    this.name = name;
    this.role = role;
    this.pointer = pointer;
    this.changed = changed;
    this.all = all;
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
      const stored = await upload(`/arrays${query(file.name)}`, file, headers(file.name), progress);
      this.place(stored.arrays ?? { [this.name]: stored }, file.name);
    } catch (error) {
      showProblem(error, this.state);
    }
  }

  /** Put what a file held where it belongs: one of several arrays goes by its name. */
  place(arrays, fileName) {
    show(this.state);
    const of = (name) => this.all().find((input) => input.name === name);
    const known = Object.entries(arrays).filter(([name]) => of(name));
    for (const [name, info] of known) of(name).take(info, fileName);
    const unknown = Object.keys(arrays).filter((name) => !of(name));
    if (unknown.length) this.state.append(h("p", {}, `${fileName} holds ${unknown.join(" and ")}, which this kind does not take.`));
    announce(`${known.map(([name]) => name).join(" and ")} from ${fileName}: stored.`);
    this.changed();
  }

  take(info, fileName) {
    this.text.value = info.id;
    this.text.rows = 2;
    show(this.state, `${fileName}: ${shape(info.shape)}, ${info.format === "csr" ? "sparse" : "dense"}, stored as ${short(info.id)}`);
  }
}

const ending = (name) => name.toLowerCase().replace(/\.gz$/, "").split(".").at(-1);

/** The format goes by the file's name: a browser knows no media type of these. */
const query = (name) => (ENDINGS[ending(name)] ? `?format=${ENDINGS[ending(name)]}` : "");

/** A format that is not read is named all the same: the refusal says what to save instead. */
function headers(name) {
  const foreign = !ENDINGS[ending(name)] && /^[a-z0-9]+$/.test(ending(name));
  const type = { "Content-Type": foreign ? `application/${ending(name)}` : "application/octet-stream" };
  return name.toLowerCase().endsWith(".gz") ? { ...type, "Content-Encoding": "gzip" } : type;
}
