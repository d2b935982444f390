// Curves over one horizontal axis, in panels one below the other, on a canvas; a slider reads them, by hand or by key.

import { h } from "./dom.js";
import { superscript } from "./format.js";
import { decimate, linear, logarithmic, range } from "./scale.js";

const [LEFT, RIGHT, TOP, BOTTOM, GAP] = [58, 14, 22, 26, 30];
const FONT = '12px "Source Sans 3", "Helvetica Neue", "Liberation Sans", Arial, sans-serif';

/** Return the value of a colour of the style sheet, in the theme that holds. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * A figure of panels {title, log, height, curves: [{name, colour, dash, xs, ys}]}.
 *
 * `update` takes new panels at any rate; they are drawn once a frame. `read(k)` says in words what stands at the k-th
 * point of the first curve, for the slider.
 */
export class Chart {
  constructor(host, label, read) {
    this.panels = [];
    this.marks = [];
    this.read = read;
    this.chosen = null;
    this.canvas = h("canvas", { role: "img", "aria-label": label });
    this.slider = h("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": "Read the curves at", input: () => this.choose(Number(this.slider.value)) });
    this.words = h("p", { class: "reading" });
    host.replaceChildren(this.canvas, this.slider, this.words);
    this.listen(host);
  }

  listen(host) {
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.choose(null));
    new ResizeObserver(() => this.redraw()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    document.addEventListener("themechange", () => this.redraw());
  }

  /** Show these panels; `marks` are vertical lines {x, text}. */
  update(panels, marks = []) {
    this.panels = panels;
    this.marks = marks;
    this.prepared = null;
    this.slider.max = String(Math.max(this.lead().length - 1, 0));
    this.redraw();
  }

  /** Say what the figure shows, for those who cannot see it. */
  describe(words) {
    this.canvas.setAttribute("aria-label", words);
  }

  lead() {
    return this.panels[0]?.curves[0]?.xs ?? [];
  }

  point(pixel) {
    const xs = this.lead();
    if (xs.length === 0 || !this.horizontal) return;
    const x = this.horizontal.value(pixel);
    let [low, high] = [0, xs.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle;
      else high = middle;
    }
    this.choose(x - xs[low] < xs[high] - x ? low : high);
  }

  choose(k) {
    this.chosen = k;
    this.redraw();
    if (k === null) return;
    this.words.textContent = this.read(k);
    this.slider.value = String(k);
    this.slider.setAttribute("aria-valuetext", this.words.textContent);
  }

  showLast() {
    this.words.textContent = this.read(this.lead().length - 1);
    this.slider.value = this.slider.max;
    this.slider.setAttribute("aria-valuetext", this.words.textContent);
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  /** What a draw needs of the data, made once for new data or a new width: reading the curves must stay quick. */
  prepare(width) {
    if (this.prepared === width) return;
    const [low, high] = range(this.panels.flatMap((panel) => panel.curves.map((curve) => curve.xs))) ?? [0, 1];
    this.horizontal = linear(low, high, LEFT, width - RIGHT, this.lead().every(Number.isInteger));
    for (const panel of this.panels) {
      for (const curve of panel.curves) {
        if (panel.log) curve.ys = curve.ys.map((value) => (value > 0 ? value : null));
        curve.points = decimate(curve.xs, curve.ys, this.horizontal.at);
      }
      panel.range = range(panel.curves.map((curve) => curve.ys));
    }
    this.prepared = width;
  }

  draw() {
    const width = this.canvas.parentElement.clientWidth;
    if (width === 0) return;
    const height = TOP + BOTTOM + this.panels.reduce((sum, panel) => sum + panel.height + GAP, -GAP);
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(Math.max(height, 1) * ratio);
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = FONT;
    if (this.chosen === null) this.showLast();
    this.prepare(width);
    let top = TOP;
    for (const panel of this.panels) {
      this.drawPanel(pen, panel, top, width);
      top += panel.height + GAP;
    }
    this.drawFoot(pen, top - GAP, width);
  }

  drawPanel(pen, panel, top, width) {
    const bottom = top + panel.height;
    const found = panel.range;
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillStyle = colour("ink");
    pen.fillText(panel.title, LEFT, top - 8);
    if (!found) drawFloor(pen, LEFT, bottom, width - RIGHT);
    else {
      const vertical = panel.log ? logarithmic(...found, bottom, top) : linear(...padded(found), bottom, top);
      drawGrid(pen, vertical, panel.log, LEFT, width - RIGHT);
      this.drawMarks(pen, top, bottom);
      for (const curve of panel.curves) this.drawCurve(pen, curve, vertical);
    }
  }

  drawCurve(pen, curve, vertical) {
    const { points, ys } = curve;
    pen.strokeStyle = pen.fillStyle = colour(curve.colour);
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    pen.setLineDash(curve.dash ?? []);
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(this.horizontal.at(x), vertical.at(y));
    pen.stroke();
    pen.setLineDash([]);
    if (points.length < 60) for (const [x, y] of points) dot(pen, this.horizontal.at(x), vertical.at(y), 2.25);
    const y = this.chosen === null || curve.xs !== this.lead() ? null : ys[this.chosen];
    if (y !== null && y !== undefined) dot(pen, this.horizontal.at(curve.xs[this.chosen]), vertical.at(y), 4);
  }

  drawMarks(pen, top, bottom) {
    const chosen = this.chosen === null ? [] : [{ x: this.lead()[this.chosen], shade: "muted" }];
    for (const { x, text, shade } of [...this.marks, ...chosen]) {
      const at = Math.round(this.horizontal.at(x)) + 0.5;
      pen.strokeStyle = pen.fillStyle = colour(shade ?? "warn");
      pen.lineWidth = 1;
      pen.setLineDash(text ? [3, 3] : []);
      line(pen, at, top, at, bottom);
      pen.setLineDash([]);
      if (text && top === TOP) {
        pen.textAlign = at > this.canvas.clientWidth / 2 ? "right" : "left";
        pen.fillText(text, at + (pen.textAlign === "right" ? -5 : 5), top + 11);
      }
    }
  }

  drawFoot(pen, bottom, width) {
    pen.fillStyle = colour("muted");
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const tick of this.horizontal.ticks) {
      const at = this.horizontal.at(tick);
      if (at <= width - RIGHT + 1) pen.fillText(String(tick).replace("-", "−"), at, bottom + 8);
    }
  }
}

function padded([low, high]) {
  const rim = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return low >= 0 && low < high / 2 ? [0, high + rim] : [low - rim, high + rim];
}

function drawFloor(pen, left, bottom, right) {
  pen.strokeStyle = colour("line");
  line(pen, left, bottom + 0.5, right, bottom + 0.5);
}

function drawGrid(pen, vertical, log, left, right) {
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of log ? vertical.ticks : vertical.ticks.filter((_, k) => k % 2 === 0)) {
    const at = Math.round(vertical.at(tick)) + 0.5;
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    line(pen, left, at, right, at);
    pen.fillStyle = colour("muted");
    pen.fillText(log ? `10${superscript(Math.round(Math.log10(tick)))}` : String(tick).replace("-", "−"), left - 8, at);
  }
}

function line(pen, ...[x1, y1, x2, y2]) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}
