// Numbers, times and sizes as people read them.

/** Return a number with few significant digits, or a dash for what is not known. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) return signed(String(Number(value.toPrecision(digits))));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return signed(`${String(Number(mantissa))}\u2009×\u200910${superscript(Number(exponent))}`);
}

const signed = (text) => text.replace(/^-/, "−");

/** Return an integer in superscript digits. */
export function superscript(value) {
  return String(value).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)]));
}

/** Return a count in groups of three digits. */
export const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-GB").replaceAll(",", "\u202f"));

/** Return a duration. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${number(value * 1e6, 2)} µs`;
  if (value < 1) return `${number(value * 1e3, 3)} ms`;
  if (value < 120) return `${number(value, 3)} s`;
  if (value < 7200) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

/** Return a size in bytes. */
export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), 4);
  return `${number(value / 1000 ** power, 3)} ${units[power]}`;
}

/** Return a shape, as in 12 × 3. */
export const shape = (sizes) => sizes.map(count).join(" × ");

/** Return how long ago a time was. */
export function ago(time, now = Date.now()) {
  const passed = Math.max((now - Date.parse(time)) / 1000, 0);
  if (passed < 5) return "just now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86400) return `${Math.floor(passed / 3600)} h ago`;
  return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** Return the seconds between two times, or to now. */
export function elapsed(from, to) {
  return from ? ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000 : null;
}

/** Return words from a name of the API: strict_local_minimum to "strict local minimum". */
export const words = (name) => name.replaceAll("_", " ");

/** Return a job's, a batch's or an array's id, shortened where it stands in a row. */
export const short = (id) => (id.startsWith("sha256:") ? `${id.slice(0, 15)}…` : `${id.slice(0, id.indexOf("_") + 1)}…${id.slice(-6)}`);
