// The document is only ever built here: an element, its attributes, and text that stays text.

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return a new element; a function among the attributes listens to the event of its name. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Return a new MathML element. */
export function m(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/1998/Math/MathML", name), attributes, children);
}

/** Return the element with this id. */
export const by = (id) => document.getElementById(id);

/** Put these children in place of what a node holds. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replace a table's rows, each with a data-id, but give the focus back to the control of the row that had it. */
export function showRows(body, rows) {
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const held = focused?.closest("tr").dataset.id;
  show(body, rows);
  if (held) body.querySelector(`tr[data-id="${held}"]`)?.querySelector(focused.tagName.toLowerCase())?.focus();
}

/** Say something to whoever listens to the page. */
export function announce(words) {
  by("announcer").textContent = words;
}

/** Return a list of terms and what they are; a pair without a value is left out. */
export function pairs(entries, attributes = {}) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "pairs", ...attributes }, known.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

/** Return a notice; `tone` is bad, warn or good. */
export function notice(tone, ...children) {
  return h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : null }, children);
}

/** Return code with a button that copies it. */
export function copyable(text, label) {
  const code = h("pre", { class: "code", tabindex: "0", "aria-label": label }, text);
  const copy = async () => {
    getSelection().selectAllChildren(code);
    if (!navigator.clipboard) return announce("Selected: a page that came without TLS may not copy it for you.");
    await navigator.clipboard.writeText(code.textContent);
    return announce("Copied.");
  };
  return { node: h("div", { class: "copyable" }, code, h("button", { type: "button", class: "quiet", click: copy }, "Copy")), code };
}
