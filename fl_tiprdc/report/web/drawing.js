/* Elements, scales, axes, marks and numbers: what every figure of the page is made of. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const SPACE = document.getElementById("frontier-figure").namespaceURI;
const DASHES = { centralized: null, federated: "6 4", baseline: "2 3" };
const FONT = 12;

function byId(name) {
  return document.getElementById(name);
}

/* An HTML element with attributes and children; text is always text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* An SVG element, put into `parent`. */
function draw(parent, name, attributes = {}, text = null) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  parent.appendChild(made);
  return made;
}

function number(value, digits = 3) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function interval(low, high) {
  return low === null || low === undefined || high === null ? "" : `${number(low)} to ${number(high)}`;
}

function several() {
  return DATA.runs.length > 1;
}

/* "tiprdc+, federated", with the run's name before it where there are several. */
function curveName(point) {
  const where = several() ? `${point.run}: ` : "";
  return where + (point.setting === "raw" ? "raw data" : `${point.method}, ${point.setting}`);
}

function dialName(point) {
  if (point.setting === "raw") return "";
  return point.setting === "baseline" ? `dial = ${point.lam}` : `λ = ${point.lam}`;
}

function pointName(point) {
  return [curveName(point), dialName(point)].filter(Boolean).join(", ");
}

function colorOf(point) {
  if (point.setting === "raw" && !several()) return "currentColor";
  return several() ? DATA.run_colors[point.runNumber] : DATA.methods[point.method];
}

/* Round numbers between low and high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const places = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) places.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return places.map((value) => ({ value, text: value.toFixed(digits) }));
}

function scale(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

/* Axes with their labels. box: {left, top, right, bottom}, all in pixels of the figure. */
function axes(svg, box, x, y, xTicks, yTicks, xLabel, yLabel) {
  for (const { value, text } of yTicks) {
    draw(svg, "line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) });
    draw(svg, "text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, text);
  }
  for (const { value, text } of xTicks) {
    draw(svg, "line", { class: "grid", x1: x(value), x2: x(value), y1: box.top, y2: box.bottom });
    draw(svg, "text", { x: x(value), y: box.bottom + 16, "text-anchor": "middle" }, text);
  }
  draw(svg, "path", { class: "axis", fill: "none", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` });
  draw(svg, "text", { class: "name", x: (box.left + box.right) / 2, y: box.bottom + 34, "text-anchor": "middle" }, xLabel);
  draw(svg, "text", { class: "name", x: 2, y: FONT }, yLabel);
}

/* A mark: a circle is centralized, a square federated, a triangle a baseline, a star raw data. */
function mark(parent, setting, x, y, color, size = 5) {
  if (setting === "raw") {
    const tips = Array.from({ length: 10 }, (_, i) => {
      const [angle, far] = [(Math.PI * i) / 5 - Math.PI / 2, i % 2 ? size * 0.7 : size * 1.7];
      return `${x + far * Math.cos(angle)},${y + far * Math.sin(angle)}`;
    });
    return draw(parent, "polygon", { points: tips.join(" "), fill: color });
  }
  if (setting === "baseline") {
    const corners = `${x},${y - size * 1.2} ${x + size * 1.15},${y + size * 0.8} ${x - size * 1.15},${y + size * 0.8}`;
    return draw(parent, "polygon", { points: corners, fill: color });
  }
  if (setting === "federated") {
    const side = { x: x - size, y: y - size, width: 2 * size, height: 2 * size };
    return draw(parent, "rect", { ...side, class: "hollow", stroke: color, "stroke-width": 2 });
  }
  return draw(parent, "circle", { cx: x, cy: y, r: size, fill: color });
}

/* Draw again when the place for a figure, or light and dark, change. */
function redrawing(box, redraw) {
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth && box.clientWidth !== width) {
      width = box.clientWidth;
      redraw();
    }
  }).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function options(select, texts) {
  select.replaceChildren(...texts.map((text, i) => element("option", { value: i }, text)));
}
