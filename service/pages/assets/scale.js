// From values to pixels and to the ticks of an axis.

/** Return a linear scale of [low, high] onto [from, to]; `whole` asks for ticks at whole numbers. */
export function linear(low, high, from, to, whole = false) {
  if (!(high > low)) [low, high] = [low - 0.5, low + 0.5];
  const at = (value) => from + ((value - low) / (high - low)) * (to - from);
  return { at, value: (pixel) => low + ((pixel - from) / (to - from)) * (high - low), ticks: linearTicks(low, high, whole) };
}

/** Return a logarithmic scale of [low, high], both positive, onto [from, to]; its ticks are powers of ten. */
export function logarithmic(low, high, from, to) {
  let [first, last] = [Math.log10(low), Math.log10(high)];
  if (last - first < 1) [first, last] = [Math.floor(first), Math.floor(first) + Math.max(1, Math.ceil(last - Math.floor(first)))];
  const at = (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from);
  return { at, ticks: decades(first, last) };
}

function linearTicks(low, high, whole, most = 7) {
  const rough = Math.max((high - low) / most, whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const ticks = [];
  for (let k = first; k * step <= high + step * 1e-9; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function decades(first, last, most = 5) {
  const step = Math.max(1, Math.ceil((last - first) / most));
  const ticks = [];
  for (let power = Math.ceil(first - 1e-9); power <= last + 1e-9; power += 1) {
    if (power % step === 0) ticks.push(10 ** power);
  }
  return ticks;
}

/** Return the least and greatest of the finite values, of the positive ones alone if asked; null if there are none. */
export function range(lists, positive = false) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value === null || !Number.isFinite(value) || (positive && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

/**
 * Return the points to draw of a long curve: in each column of pixels the first, lowest, highest and last.
 *
 * What is left looks the same and is bounded by the width of the plot, however long the trace. Null breaks the curve.
 */
export function decimate(xs, ys, column) {
  const points = [];
  let current = null;
  let kept = [];
  const flush = () => {
    for (const point of new Set([...kept].sort((one, two) => one[2] - two[2]))) points.push(point);
    kept = [];
  };
  for (let k = 0; k < xs.length; k += 1) {
    const [x, y] = [xs[k], ys[k]];
    if (y === null || Number.isNaN(y)) continue;
    const where = Math.round(column(x));
    const point = [x, y, k];
    if (where !== current) {
      flush();
      current = where;
      kept = [point, point, point, point];
      continue;
    }
    if (y < kept[1][1]) kept[1] = point;
    if (y > kept[2][1]) kept[2] = point;
    kept[3] = point;
  }
  flush();
  return points;
}
