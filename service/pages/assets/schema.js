// JSON Schemas as nested lists, each reference opened where it stands, none twice on one path.

import { h } from "./dom.js";

const name = (ref) => ref.split("/").at(-1);

/** Return the type of a schema in a few words. */
export function typeOf(schema) {
  if (schema.$ref) return name(schema.$ref);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.map(typeOf).join(" | ");
  if (schema.type === "array") return schema.items ? `list of ${typeOf(schema.items)}` : "list";
  if (schema.additionalProperties && typeof schema.additionalProperties === "object") return `map to ${typeOf(schema.additionalProperties)}`;
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "anything");
}

/** Return what bounds a value, in words. */
export function bounds(schema) {
  const said = [
    ["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"],
    ["minLength", "length ≥"], ["maxLength", "length ≤"], ["maxItems", "items ≤"], ["pattern", "matches"],
  ];
  const words = said.filter(([key]) => key in schema).map(([key, sign]) => `${sign} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

function references(schema) {
  if (schema.$ref) return [name(schema.$ref)];
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), schema.items, typeof schema.additionalProperties === "object" ? schema.additionalProperties : null];
  return parts.filter(Boolean).flatMap(references);
}

/** Return an object's properties as a list; what they refer to opens on demand. */
export function schemaList(schema, schemas, path = []) {
  if (schema.$ref) return schemaList(schemas[name(schema.$ref)] ?? {}, schemas, [...path, name(schema.$ref)]);
  if (!schema.properties) return opened(schema, schemas, path);
  const needed = schema.required ?? [];
  const item = ([key, property]) =>
    h(
      "li",
      {},
      h("code", {}, key),
      needed.includes(key) ? h("span", { class: "required" }, " required") : null,
      h("span", { class: "type" }, ` ${typeOf(property)}`),
      bounds(property) && h("span", { class: "hint" }, ` · ${bounds(property)}`),
      property.description && h("p", { class: "hint" }, property.description),
      opened(property, schemas, path),
    );
  return h("ul", { class: "schema" }, Object.entries(schema.properties).map(item));
}

function opened(schema, schemas, path) {
  return references(schema)
    .filter((ref) => !path.includes(ref) && schemas[ref]?.properties)
    .map((ref) => {
      const place = h("div");
      const open = (event) => {
        if (event.target.open && !place.hasChildNodes()) place.append(schemaList(schemas[ref], schemas, [...path, ref]));
      };
      return h("details", { toggle: open }, h("summary", {}, ref), schemas[ref].description && h("p", { class: "hint" }, schemas[ref].description), place);
    });
}
