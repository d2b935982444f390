// From a form to a job: the example of a kind, with one's own arrays in its place.

import { getJson, sendJson } from "./api.js";
import { announce, by, copyable, h, show } from "./dom.js";
import { typeset } from "./formula.js";
import { Fields, resolved, takesArray } from "./fields.js";
import { ArrayInput } from "./inputs.js";
import { plan } from "./plan.js";
import { begin, showProblem } from "./shell.js";

const OWN = ["problem", "tags"];
const preview = copyable("", "The body of POST /solve");
let form = null;

/** The form of one kind; `body()` is what it would send. */
class KindForm {
  constructor(problem) {
    const { schema } = problem;
    const definitions = schema.$defs;
    this.kind = problem.kind;
    this.problem = new Fields(resolved(schema.properties.problem, definitions), definitions, "/problem");
    this.options = new Fields(schema, definitions, "", (name, property) => OWN.includes(name) || takesArray(property));
    // an array that has no place at the top of the body is the regulariser's
    this.places = new Map(Object.keys(problem.inputs).map((name) => [name, name in schema.properties ? "" : "/regulariser"]));
    this.arrays = Object.entries(problem.inputs).map(([name, role]) => new ArrayInput(name, role, `${this.places.get(name)}/${name}`, showBody, () => this.arrays));
    this.fill(problem.example);
  }

  fill(example) {
    this.problem.fill(example.problem);
    this.options.fill(example);
    for (const array of this.arrays) array.fill((this.places.get(array.name) ? example.regulariser : example)?.[array.name]);
    by("tags").value = (example.tags ?? []).join("\n");
  }

  body() {
    const given = this.arrays.map((array) => [array.name, array.value()]).filter(([, value]) => value !== undefined);
    const at = (place) => Object.fromEntries(given.filter(([name]) => this.places.get(name) === place));
    const { regulariser, ...options } = this.options.values();
    const pull = { ...regulariser, ...at("/regulariser") };
    const tags = by("tags").value.split("\n").map((tag) => tag.trim()).filter(Boolean);
    return {
      problem: { kind: this.kind, ...this.problem.values() },
      ...at(""),
      ...options,
      ...(Object.keys(pull).length ? { regulariser: pull } : {}),
      ...(tags.length ? { tags } : {}),
    };
  }
}

async function choose(kind) {
  const problem = await getJson(`/problems/${kind}`);
  form = new KindForm(problem);
  show(by("formula"), typeset(problem.formula));
  show(by("problem-fields"), form.problem.nodes);
  show(by("option-fields"), form.options.nodes);
  show(by("arrays"), arrayNodes());
  show(by("plan"));
  showProblem(null);
  showBody();
}

/** The arrays that are needed or filled in; the others wait behind a line. */
function arrayNodes() {
  const nodes = (arrays) => h("div", { class: "inputs" }, arrays.map(({ node }) => node));
  const first = form.arrays.filter(({ role, text }) => role.required || text.value !== "");
  const rest = form.arrays.filter((array) => !first.includes(array));
  const names = rest.map(({ name }) => name).join(", ");
  return [nodes(first), rest.length > 0 && h("details", {}, h("summary", {}, `Optional arrays: ${names}`), nodes(rest))];
}

function showBody() {
  unmark();
  try {
    preview.code.textContent = JSON.stringify(form.body(), null, 1);
  } catch (error) {
    preview.code.textContent = error.message;
  }
}

function unmark() {
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** Show a refusal, and where in the form it is. */
function refuse(error) {
  showProblem(error);
  const pointer = error.problem?.source?.pointer;
  const places = pointer ? [...document.querySelectorAll("[data-pointer]")].filter(({ dataset }) => pointer === dataset.pointer || pointer.startsWith(`${dataset.pointer}/`)) : [];
  for (const place of places) {
    for (let outer = place.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
    place.setAttribute("aria-invalid", "true");
  }
  places[0]?.focus();
}

/** Do something with the body while the buttons rest; what is refused is shown. */
async function attempt(act) {
  const buttons = [by("solve"), by("plan-button")];
  for (const button of buttons) button.disabled = true;
  showProblem(null);
  unmark();
  let failure = null;
  try {
    await act(form.body());
  } catch (error) {
    failure = error;
  }
  for (const button of buttons) button.disabled = false;
  if (failure) refuse(failure);
}

async function showPlan(body) {
  show(by("plan"), h("p", { class: "hint" }, "Planning…"));
  try {
    const response = await sendJson("/solve?dry_run=true", body);
    if (response.status === 202) return show(by("plan"), h("p", {}, "The plan takes a while: ", h("a", { href: `/pages${response.headers.get("Location")}` }, "see it come"), "."));
    const chosen = await response.json();
    announce("The plan is ready.");
    return show(by("plan"), h("section", { "aria-labelledby": "plan-title" }, h("h2", { id: "plan-title" }, "Plan"), h("div", { class: "stack" }, plan(chosen))));
  } catch (error) {
    show(by("plan"));
    throw error;
  }
}

function randomHex() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function solve(body) {
  // the same key if the answer is lost and the button pressed again: one job
  const fingerprint = JSON.stringify(body);
  if (solve.sent !== fingerprint) Object.assign(solve, { sent: fingerprint, key: `page-${randomHex()}` });
  const response = await sendJson("/solve", body, { headers: { "Idempotency-Key": solve.key } });
  location.assign(`/pages${response.headers.get("Location")}`);
}

begin(async () => {
  show(by("body"), preview.node);
  const { problems } = await getJson("/problems");
  show(by("kind"), problems.map(({ kind, title }) => h("option", { value: kind }, title)));
  const asked = new URLSearchParams(location.search).get("kind");
  if (problems.some(({ kind }) => kind === asked)) by("kind").value = asked;
  by("kind").addEventListener("change", () => choose(by("kind").value).catch((error) => showProblem(error)));
  by("form").addEventListener("input", showBody);
  by("form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(solve);
  });
  by("plan-button").addEventListener("click", () => attempt(showPlan));
  await choose(by("kind").value);
});
