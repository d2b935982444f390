// Form fields from a JSON Schema: what a spec may hold is said once, by the contract.

import { h } from "./dom.js";
import { words } from "./format.js";

/** Return a schema without its references and without the null that an absent value stands for. */
export function resolved(schema, definitions) {
  if (schema.$ref) return { ...resolved(definitions[schema.$ref.split("/").at(-1)], definitions), ...("default" in schema ? { default: schema.default } : {}) };
  const options = schema.anyOf?.filter((option) => option.type !== "null");
  if (options?.length === 1) return { ...schema, anyOf: undefined, ...resolved(options[0], definitions), default: schema.default };
  return schema;
}

/** Say whether an array may stand in this place: its id may. */
export const takesArray = (schema) => (schema.anyOf ?? []).some(({ pattern }) => pattern?.startsWith("^sha256:"));

const isPlain = (schema) => Boolean(schema.enum) || ["boolean", "integer", "number", "string"].includes(schema.type);

/**
 * A group of fields for the properties of an object's schema.
 *
 * `values()` returns what differs from the defaults; it throws FieldError where a text is not the JSON it must be.
 */
export class Fields {
  constructor(schema, definitions, pointer, skips = (_, property) => takesArray(property)) {
    this.inputs = [];
    this.groups = [];
    this.nodes = [];
    for (const [name, raw] of Object.entries(schema.properties)) {
      if (skips(name, raw)) continue;
      const property = resolved(raw, definitions);
      if ("const" in property) continue;
      if (property.type === "object" && property.properties) this.addGroup(name, property, definitions, `${pointer}/${name}`);
      else this.addInput(name, property, `${pointer}/${name}`, (schema.required ?? []).includes(name));
    }
  }

  addGroup(name, schema, definitions, pointer) {
    const group = new Fields(schema, definitions, pointer);
    this.groups.push([name, group]);
    this.nodes.push(h("fieldset", { class: "group" }, h("legend", {}, words(name)), h("div", { class: "fields" }, group.nodes)));
  }

  addInput(name, schema, pointer, required) {
    const input = isPlain(schema) ? plainInput(schema, required) : h("input", { class: "code", spellcheck: "false", autocomplete: "off", placeholder: placeholder(schema) });
    input.dataset.pointer = pointer;
    input.name = pointer;
    const tick = input.type === "checkbox";
    const label = h("span", {}, words(name), required ? " *" : "");
    this.inputs.push({ name, schema, input });
    this.nodes.push(h("label", { class: tick ? "field tick" : "field", title: schema.description }, tick ? [input, label] : [label, input]));
  }

  /** Fill the fields from a body; what it does not say gets its default. */
  fill(body) {
    for (const { name, schema, input } of this.inputs) write(input, schema, body[name] ?? schema.default);
    for (const [name, group] of this.groups) group.fill(body[name] ?? {});
  }

  values() {
    const found = {};
    for (const { name, schema, input } of this.inputs) {
      const value = read(input, schema);
      if (value !== undefined && JSON.stringify(value) !== JSON.stringify(schema.default)) found[name] = value;
    }
    for (const [name, group] of this.groups) {
      const inner = group.values();
      if (Object.keys(inner).length > 0) found[name] = inner;
    }
    return found;
  }
}

/** A field that does not hold what it must; `pointer` says which. */
export class FieldError extends Error {
  constructor(pointer, detail) {
    super(detail);
    this.problem = { title: "Not a value", detail, source: { pointer } };
  }
}

function plainInput(schema, required) {
  if (schema.type === "boolean") return h("input", { type: "checkbox" });
  if (schema.enum) return h("select", {}, !required && schema.default === null && h("option", { value: "" }, "–"), schema.enum.map((value) => h("option", { value }, String(value))));
  return h("input", { class: "code", inputmode: schema.type === "string" ? null : "decimal", spellcheck: "false", autocomplete: "off", placeholder: schema.default === null ? "chosen for you" : null });
}

function placeholder(schema) {
  if (schema.items?.enum) return `JSON: ${JSON.stringify(schema.items.enum)}`;
  return "a value, or JSON";
}

function write(input, schema, value) {
  if (input.type === "checkbox") input.checked = Boolean(value);
  else if (value === undefined || value === null) input.value = "";
  else input.value = typeof value === "string" ? value : JSON.stringify(value);
}

function read(input, schema) {
  if (input.type === "checkbox") return input.checked;
  const text = input.value.trim();
  if (text === "") return undefined;
  if (schema.enum || schema.type === "string") return text;
  return parsed(text, input.dataset.pointer, schema.type === "number" || schema.type === "integer");
}

/** Return the JSON of a text; a bare word is itself where a number is not wanted. */
export function parsed(text, pointer, numeric = false) {
  try {
    return JSON.parse(text);
  } catch {
    if (!numeric && /^[a-z0-9:_-]+$/.test(text)) return text;
    throw new FieldError(pointer, numeric ? `“${text}” is not a number.` : "This is neither a word nor JSON.");
  }
}
