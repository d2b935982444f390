// From a trace to curves: what is plotted of every iteration, and how it is said in words.

import { number, seconds } from "./format.js";

/** A trace in columns, appended to as it comes; an iteration that comes again, by a later attempt, replaces its line. */
export class Trace {
  constructor() {
    this.records = [];
  }

  get length() {
    return this.records.length;
  }

  get last() {
    return this.records.at(-1);
  }

  push(record) {
    while (this.length && this.last.iteration >= record.iteration) this.records.pop();
    this.records.push(record);
  }

  column(name) {
    return this.records.map((record) => record[name] ?? null);
  }

  /** The loss above the lowest seen: what is still to be won, as far as anybody knows by now. */
  excess() {
    let lowest = Infinity;
    for (const { loss } of this.records) if (loss < lowest) lowest = loss;
    return this.records.map(({ loss }) => loss - lowest);
  }

  /** The times at which the job was taken up again, by another attempt. */
  resumptions() {
    return this.records.filter((record, k) => k > 0 && record.attempt !== this.records[k - 1].attempt);
  }

  /** The seconds of each phase, summed over the iterations, longest first. */
  phaseTotals() {
    const totals = new Map();
    for (const { phases } of this.records) {
      for (const [name, spent] of Object.entries(phases)) totals.set(name, (totals.get(name) ?? 0) + spent);
    }
    return [...totals].sort((one, two) => two[1] - one[1]);
  }
}

/** The seconds at each record, never falling: an attempt that began anew counts on from where the last one was. */
export function clock(trace) {
  let [offset, before] = [0, 0];
  return trace.records.map((record) => {
    if (record.seconds + offset < before) offset = before - record.seconds;
    before = record.seconds + offset;
    return before;
  });
}

/** Return the panels of one job: loss, gradient norm, step size. */
export function panels(trace, axis) {
  const xs = axis === "seconds" ? clock(trace) : trace.column("iteration");
  const panel = (title, log, height, colour, ys) => ({ title, log, height, curves: [{ name: title, colour, xs, ys }] });
  return [
    panel("Loss above the lowest seen", true, 150, "series-1", trace.excess()),
    panel("Gradient norm", true, 150, "series-2", trace.column("gradient_norm")),
    panel("Step size", false, 70, "series-3", trace.column("step_size")),
  ];
}

/** Return the vertical lines where an attempt took over. */
export function marks(trace, axis) {
  const times = axis === "seconds" ? clock(trace) : null;
  return trace.resumptions().map((record) => ({
    x: times ? times[trace.records.indexOf(record)] : record.iteration,
    text: `attempt ${record.attempt}`,
  }));
}

/** Return one iteration in words. */
export function inWords(record) {
  if (!record) return "No iteration yet.";
  const parts = [
    `Iteration ${record.iteration}`,
    `loss ${number(record.loss, 8)}`,
    `gradient ${number(record.gradient_norm)}`,
    record.newton_decrement !== null && `decrement ${number(record.newton_decrement)}`,
    record.step_size !== null && `step ${number(record.step_size)}`,
    record.cg_iterations && `${record.cg_iterations} CG`,
    record.sketch && `${record.sketch.kind} sketch of ${record.sketch.rows} rows`,
    `${seconds(record.seconds)}`,
    record.note,
  ];
  return parts.filter(Boolean).join(" · ");
}
