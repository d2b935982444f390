// From the catalogue's formulas, written in Unicode, to MathML: one text, read by people and by this.
//
//   formula  := prose and runs of mathematics; a run may break after a top-level + so that lines can wrap
//   run      := atoms, each with scripts: aᵢ, b², z̄, λ_X, e^{βt}, (AᵀA)ʲ, A₂ᵀ
//   prose    := words of two letters or more that are not a function's name, what is quoted, "(form gram)"

import { m } from "./dom.js";

const LOWER = { "₀": "0", "₁": "1", "₂": "2", "₃": "3", "₄": "4", "₅": "5", "₆": "6", "₇": "7", "₈": "8", "₉": "9", "ᵢ": "i", "ⱼ": "j", "ₖ": "k", "ₙ": "n" };
const UPPER = { "⁰": "0", "¹": "1", "²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁻": "−", "⁺": "+", "ʲ": "j", "ᵀ": "T", "ᵝ": "β" };
const FUNCTIONS = new Set(["exp", "cosh", "sinh", "log", "ln", "diag", "softmax", "min", "max"]);
const FENCES = { "(": ")", "⟨": "⟩", "{": "}" };
const OPERATORS = "+−-=·×≤≥/|,:*…";
const [MACRON, HALF] = ["\u0304", "½"];

const TOKEN = /'[^']*'|\([a-z]{3,} [a-z_']+\)|[A-Z](?=[a-z]\b)|[A-Za-z]{2,}|\d+(?:\.\d+)?|\s+|.\u0304?/gu;

const tokens = (text) => text.match(TOKEN) ?? [];
const isSpace = (token) => /^\s+$/.test(token);
const isProse = (token) => token.length > 1 && /^[A-Za-z('][a-z ]/.test(token) && !FUNCTIONS.has(token);

/** Reads atoms from tokens; what it cannot read as mathematics it leaves. */
class Reader {
  constructor(text) {
    this.tokens = tokens(text);
    this.at = 0;
  }

  get next() {
    return this.tokens[this.at];
  }

  take() {
    this.at += 1;
    return this.tokens[this.at - 1];
  }

  skipSpace() {
    while (this.next !== undefined && isSpace(this.next)) this.at += 1;
  }

  atom() {
    const base = this.base();
    let [lower, upper] = [[], []];
    for (; this.next !== undefined; ) {
      if (this.next in LOWER) lower.push(letter(LOWER[this.take()]));
      else if (this.next in UPPER) upper.push(letter(UPPER[this.take()]));
      else if (this.next === "_") lower.push(this.script());
      else if (this.next === "^") upper.push(this.script());
      else break;
    }
    return scripted(base, lower, upper);
  }

  script() {
    this.take();
    return this.next === "{" ? m("mrow", {}, this.fenced(false)) : this.base();
  }

  base() {
    const token = this.take();
    if (token in FENCES) {
      this.at -= 1;
      return m("mrow", {}, this.fenced(true));
    }
    if (token === "‖") return this.norm();
    if (token === HALF) return m("mfrac", {}, m("mn", {}, "1"), m("mn", {}, "2"));
    if (token === "Σ") return m("mo", { largeop: "true" }, "∑");
    if (FUNCTIONS.has(token)) return m("mi", {}, token);
    return token.endsWith(MACRON) && token.length > 1 ? m("mover", {}, letter(token[0]), m("mo", {}, "¯")) : letter(token);
  }

  fenced(shown) {
    const open = this.take();
    const parts = this.until(FENCES[open]);
    return shown ? [m("mo", { stretchy: "false" }, open), ...parts, m("mo", { stretchy: "false" }, FENCES[open])] : parts;
  }

  norm() {
    const bar = () => m("mo", { stretchy: "false" }, "‖");
    return m("mrow", {}, bar(), ...this.until("‖"), bar());
  }

  until(close) {
    const parts = [];
    for (this.skipSpace(); this.next !== undefined && this.next !== close; this.skipSpace()) parts.push(this.atom());
    this.at += 1;
    return parts;
  }
}

function letter(text) {
  if (/^\d/.test(text)) return m("mn", {}, text);
  return OPERATORS.includes(text) ? m("mo", {}, text) : m("mi", {}, text);
}

function scripted(base, lower, upper) {
  const row = (parts) => (parts.length === 1 ? parts[0] : m("mrow", {}, parts));
  if (lower.length && upper.length) return m("msubsup", {}, base, row(lower), row(upper));
  if (lower.length) return m("msub", {}, base, row(lower));
  return upper.length ? m("msup", {}, base, row(upper)) : base;
}

/** "min over x of" and "Σ over groups of": the words go under the sign. */
function under(reader, sign) {
  const rest = reader.tokens.slice(reader.at).join("");
  const found = /^\s*over ((?:(?! of ).)+) of\b/u.exec(rest);
  if (!found) return [sign];
  reader.at += tokens(found[0]).length;
  const words = isProse(found[1]) ? m("mtext", {}, found[1]) : m("mrow", {}, new Reader(found[1]).until(undefined));
  return [m("munder", {}, sign, words), m("mspace", { width: "0.2em" })];
}

/** Return a formula as text and mathematics, in order; a line may break between any two. */
export function typeset(text) {
  const reader = new Reader(text);
  const out = [];
  let run = [];
  const flush = () => {
    if (run.length) out.push(m("math", { displaystyle: "true" }, run), reader.next === ";" ? "" : " ");
    run = [];
  };
  for (reader.skipSpace(); reader.next !== undefined; reader.skipSpace()) {
    const token = reader.next;
    if (isProse(token) || token === ";") {
      flush();
      out.push(prose(reader));
      continue;
    }
    const atom = reader.atom();
    run.push(...(token === "min" || token === "Σ" ? under(reader, atom) : [atom]));
    if (token === "+" || token === ",") flush();
  }
  flush();
  return out;
}

function prose(reader) {
  let words = "";
  while (reader.next !== undefined && (isSpace(reader.next) || isProse(reader.next) || ";,:".includes(reader.next))) words += reader.take();
  return words;
}

/** Return a symbol or a short expression as one piece of mathematics. */
export function symbol(text) {
  return m("math", {}, new Reader(text).until(undefined));
}
