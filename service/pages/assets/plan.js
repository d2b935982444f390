// What the planner chose, and why.

import { h, notice, pairs } from "./dom.js";
import { bytes, count, number, seconds, words } from "./format.js";

const HESSIANS = {
  exact: "the exact Hessian, factorised",
  arrow: "the exact Hessian, columns of which no row holds two eliminated first",
  partial: "a kept, partial Hessian that quasi-Newton steps improve",
  sketch: "a sketch that preconditions exact Hessian products",
  paper: "the paper’s sampled Hessian",
  free: "exact Hessian products, no matrix",
  qr: "one QR factorisation",
  sketched_qr: "a QR factorisation of a sketch, refined",
  dual: "the dual problem",
  sketch_and_solve: "one sketched solve",
};

/** Return a plan as a description list, its warnings above. */
export function plan(chosen) {
  const estimates = Object.entries(chosen.estimates).map(([name, value]) => [words(name), number(value)]);
  return [
    chosen.warnings.map((warning) => notice("warn", warning)),
    h("p", { class: "lead" }, "Solved by ", h("strong", {}, HESSIANS[chosen.hessian] ?? words(chosen.hessian)), `: ${chosen.why}.`),
    pairs(
      [
        ["Start", chosen.start],
        ["Convexity", chosen.convexity],
        ["Passes over the data", chosen.full_passes],
        ["Rows of the sketch", chosen.sketch_rows === null ? null : count(chosen.sketch_rows)],
        ["Memory", bytes(chosen.memory_bytes)],
        ["Time, roughly", seconds(chosen.seconds)],
        ...estimates,
      ],
    ),
  ];
}
