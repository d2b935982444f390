// What an input looks like: where its entries lie, and how long its columns are.

import { getJson } from "./api.js";
import { colour } from "./chart.js";
import { h, pairs } from "./dom.js";
import { bytes, count, number, shape, short } from "./format.js";
import { decimate, linear, logarithmic, range } from "./scale.js";

/** Return one input array: its picture, its figures and its columns' scales. */
export async function input(name, id, role) {
  const [info, picture] = await Promise.all([getJson(`/arrays/${id}`), getJson(`/arrays/${id}/picture`)]);
  const matrix = picture.shape[1] > 1;
  const cells = picture.shape[0] * picture.shape[1];
  const figures = pairs([
    ["Shape", shape(info.shape)],
    ["Stored as", info.format === "csr" ? "sparse rows" : "dense"],
    ["Nonzeros", `${count(info.nnz)} (${number((100 * info.nnz) / cells, 3)} %)`],
    ["Size", bytes(info.bytes)],
    ["Empty columns", matrix ? count(info.empty_columns) : null],
    ["Id", h("code", { title: id }, short(id))],
  ]);
  const words = h("div", { class: "stack" }, h("h3", {}, h("code", {}, name), role ? ` ${role}` : ""), figures, matrix && info.column_norms && scales(info.column_norms));
  return h("div", { class: matrix ? "input" : "input plain" }, matrix && spy(name, picture), words);
}

function spy(name, picture) {
  const [rows, columns] = [picture.counts.length, picture.counts[0].length];
  const even = picture.nnz === picture.shape[0] * picture.shape[1];
  const canvas = h("canvas", { class: even ? "spy even" : "spy", role: "img", "aria-label": described(name, picture), width: columns, height: rows });
  const paint = () => paintCells(canvas, picture);
  repaint(canvas, paint);
  const sampled = picture.exact ? "" : `, from a sample of ${count(picture.seen)} entries`;
  return h("figure", {}, canvas, h("figcaption", {}, even ? "No entry is zero." : `Where the nonzeros lie: stronger is denser${sampled}.`));
}

function paintCells(canvas, picture) {
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = colour("series-1");
  const densest = Math.max(...densities(picture).flat());
  densities(picture).forEach((row, i) => {
    row.forEach((density, j) => {
      if (density === 0) return;
      // the square root: a single entry of a sparse cell must still be seen
      pen.globalAlpha = 0.12 + 0.88 * Math.sqrt(density / densest);
      pen.fillRect(j, i, 1, 1);
    });
  });
}

function densities({ counts, rows, columns }) {
  return counts.map((row, i) => row.map((found, j) => found / ((rows[i + 1] - rows[i]) * (columns[j + 1] - columns[j]))));
}

function described(name, picture) {
  const cells = picture.counts.flat();
  const empty = cells.filter((found) => found === 0).length;
  return `Picture of ${name}, ${shape(picture.shape)}: ${count(picture.nnz)} nonzeros; of ${cells.length} cells ${empty} are empty.`;
}

function scales(norms) {
  const found = range([norms], true);
  if (!found) return null;
  const canvas = h("canvas", { class: "scales", role: "img", "aria-label": `Column norms from ${number(found[0])} to ${number(found[1])}.` });
  canvas.style.maxWidth = `${norms.length * 3}rem`;
  repaint(canvas, () => paintScales(canvas, norms, found));
  const spread = found[1] / found[0];
  const words = `Column norms, left to right, from ${number(found[0])} to ${number(found[1])}` + (spread > 1.5 ? `: a ratio of ${number(spread, 2)}.` : ".");
  return h("figure", {}, canvas, h("figcaption", {}, words));
}

function paintScales(canvas, norms, found) {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
  if (width === 0) return;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const across = linear(-0.5, norms.length - 0.5, 1, width - 1);
  const up = found[1] / found[0] > 20 ? logarithmic(found[0] / 1.5, found[1], height - 1, 4) : linear(0, found[1], height - 1, 4);
  pen.strokeStyle = colour("series-2");
  pen.lineWidth = Math.max(1, Math.min(24, (width / norms.length) * 0.7));
  const xs = norms.map((_, k) => k);
  const ys = norms.map((norm) => (norm > 0 ? norm : null));
  for (const [x, y] of decimate(xs, ys, across.at)) {
    pen.beginPath();
    pen.moveTo(across.at(x), height);
    pen.lineTo(across.at(x), up.at(y));
    pen.stroke();
  }
}

function repaint(canvas, paint) {
  new ResizeObserver(paint).observe(canvas);
  document.addEventListener("themechange", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}
