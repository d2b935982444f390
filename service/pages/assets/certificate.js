// What is proven of a result, in words.

import { h, pairs } from "./dom.js";
import { number, seconds, words } from "./format.js";

const VERDICTS = {
  global_minimum: ["", "This is the global minimum."],
  strict_local_minimum: ["", "This is a strict local minimum."],
  saddle: ["bad", "This is a saddle point, not a minimum."],
  undetermined: ["open", "What kind of point this is could not be determined."],
};

/** Return the verdict, the statements and the figures of a certificate. */
export function certificate(result) {
  const found = result.certificate;
  const [tone, verdict] = VERDICTS[found.curvature] ?? ["open", words(found.curvature)];
  return [
    h("p", { class: `verdict ${tone}` }, verdict),
    h("ul", { class: "statements" }, found.statements.map((statement) => h("li", {}, statement)), h("li", {}, gradient(found)), stopped(result)),
    pairs(figures(found)),
    h("p", { class: "hint" }, `Recomputed from the input arrays in ${seconds(found.seconds)} by code that is not the solver’s.`),
  ];
}

function gradient(found) {
  if (found.relative_gradient_norm === null) return `The exact gradient’s norm at x is ${number(found.gradient_norm)}.`;
  return `The exact gradient at x is ${number(found.relative_gradient_norm)} times as long as at the origin.`;
}

function stopped(result) {
  const why = result.converged ? "The solver stopped by its rule" : `The solver did not converge (${words(result.termination)}); its rule was`;
  return h("li", {}, `${why}: ${result.stopping_rule}.`);
}

function figures(found) {
  const estimates = Object.entries(found.estimates).map(([name, value]) => [`${words(name)} (estimate)`, value === null ? null : number(value)]);
  return [
    ["Loss", number(found.loss, 10)],
    ["Gradient norm", number(found.gradient_norm)],
    ["Distance to the minimiser, at most", found.distance_bound === null ? null : number(found.distance_bound)],
    ["Strong convexity, at least", found.strong_convexity === null ? null : number(found.strong_convexity)],
    ["Directions without curvature", found.nullity],
    ["Backward error", found.backward_error === null ? null : number(found.backward_error)],
    ["Holds", found.scope === "none" ? "nowhere" : `${found.scope}ly`],
    ...estimates,
  ];
}
