/* The frontier: a mark a point, to be read by pointer and by keyboard. */

const REACH = 24; /* pixels from a mark within which the pointer reads it */

const frontier = {
  svg: byId("frontier-figure"),
  tip: byId("frontier-tip"),
  hidden: new Set(),
  value: "", /* a task, or empty: the mean */
  current: null, /* the point that Tab reaches */
  chosen: null, /* the point in the details panel */
  points: [],
  series: new Map(),
};

function preparePoints() {
  DATA.runs.forEach((run, runNumber) => {
    for (const point of run.points) {
      const whole = { ...point, run: run.name, runNumber };
      const name = curveName(whole);
      if (!frontier.series.has(name)) frontier.series.set(name, []);
      frontier.series.get(name).push(whole);
    }
  });
  for (const series of frontier.series.values()) series.sort((a, b) => a.lam - b.lam);
  frontier.points = Array.from(frontier.series.values()).flat();
  frontier.current = frontier.points.find((point) => point.setting !== "raw") ?? frontier.points[0];
}

function upwards(point) {
  return frontier.value === "" ? point.retention : (point.tasks[frontier.value] ?? null);
}

function visiblePoints() {
  return frontier.points.filter((point) => !frontier.hidden.has(curveName(point)) && upwards(point) !== null);
}

function reading(point) {
  const tasks = Object.entries(point.tasks).map(([task, kept]) => `${task} ${number(kept)}`);
  const certified = point.certified ? `, certified ${number(point.certified)}` : "";
  return {
    attack: `worst attack: ${point.attacker}, AUC ${number(point.attack)}${certified}`,
    interval: `interval ${interval(point.attack_low, point.attack_high)}`,
    retention: `mean retention ${number(point.retention)}`,
    tasks,
  };
}

function label(point) {
  const { attack, interval: between, retention, tasks } = reading(point);
  return `${pointName(point)}. ${attack}, ${between}; ${retention}; ${tasks.join(", ")}`;
}

/* The most that the chosen task, or the mean of all, can keep in a release that tells nothing of the private attribute. */
function taskLimits() {
  return DATA.runs.map((run) => run.limits[frontier.value]).filter((limit) => limit !== undefined);
}

function ranges(points) {
  const xs = points.flatMap((p) => [p.attack, p.attack_low ?? p.attack, p.attack_high ?? p.attack, p.certified ?? p.attack]);
  const ys = points.flatMap((p) => (frontier.value === "" ? [p.retention_low, p.retention_high] : [upwards(p)]));
  ys.push(...taskLimits());
  const xLow = Math.min(0.49, ...xs);
  const yLow = Math.min(1, ...ys);
  const yHigh = Math.max(yLow + 0.1, ...ys);
  return { xLow, xHigh: Math.max(0.6, ...xs) + 0.015, yLow: yLow - 0.04, yHigh: yHigh + 0.04 };
}

function drawFrontier() {
  const { svg } = frontier;
  const width = svg.parentElement.clientWidth;
  const height = Math.round(Math.min(540, Math.max(320, width * 0.6)));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const focused = svg.contains(document.activeElement);
  svg.replaceChildren();
  const points = visiblePoints();
  const name = frontier.value === "" ? "mean utility retention (raw = 1)" : `retention of ${frontier.value} (raw = 1)`;
  svg.setAttribute("aria-label", `Scatter plot: ${name} over worst attack AUC, ${points.length} points`);
  const { xLow, xHigh, yLow, yHigh } = ranges(points);
  const box = { left: 40, top: 24, right: width - 8, bottom: height - 44 };
  const x = scale(xLow, xHigh, box.left, box.right);
  const y = scale(yLow, yHigh, box.bottom, box.top);
  axes(svg, box, x, y, ticks(xLow, xHigh, width / 90), ticks(yLow, yHigh, 7), "worst attack AUC (0.5 = chance)", name);
  draw(svg, "line", { class: "axis", x1: x(0.5), x2: x(0.5), y1: box.top, y2: box.bottom });
  draw(svg, "text", { x: x(0.5) + 4, y: box.bottom - 6 }, "chance");
  const most = taskLimits();
  for (const limit of most) {
    draw(svg, "line", { class: "axis", "stroke-dasharray": "1 4", x1: box.left, x2: box.right, y1: y(limit), y2: y(limit) });
  }
  const above = { x: x(0.5) + 4, y: y(Math.max(...most)) - 5 };
  if (most.length) draw(svg, "text", above, most.length > 1 ? "limits at no leak" : "limit at no leak");
  for (const series of frontier.series.values()) drawSeries(series.filter((point) => points.includes(point)), x, y);
  if (!points.includes(frontier.current)) frontier.current = points[0] ?? null;
  for (const point of points) drawPoint(point, x, y);
  if (focused && frontier.current) frontier.current.node.focus();
}

function drawSeries(series, x, y) {
  if (series.length < 2) return;
  const path = series.map((point) => `${x(point.attack)},${y(upwards(point))}`).join("L");
  const [{ setting, method }] = series;
  const thin = several() && method !== "tiprdc+" ? 1 : 1.8; /* colors tell runs apart then */
  const line = { d: `M${path}`, fill: "none", "stroke-width": thin, "stroke-dasharray": DASHES[setting] };
  draw(frontier.svg, "path", { ...line, stroke: colorOf(series[0]) });
}

function drawPoint(point, x, y) {
  const color = colorOf(point);
  const [left, top] = [x(point.attack), y(upwards(point))];
  const isCurrent = point === frontier.current;
  const about = { role: "button", tabindex: isCurrent ? 0 : -1, "aria-label": label(point), "data-point": pointName(point) };
  const node = draw(frontier.svg, "g", { ...about, class: point === frontier.chosen ? "mark chosen" : "mark" });
  const bars = [];
  if (point.attack_low !== null) bars.push(`M${x(point.attack_low)},${top}H${x(point.attack_high)}`);
  if (frontier.value === "" && point.seeds > 1) bars.push(`M${left},${y(point.retention_low)}V${y(point.retention_high)}`);
  draw(node, "path", { d: bars.join(""), stroke: color, "stroke-width": 1, fill: "none" });
  if (point.certified) { /* a tick at what no attacker exceeds */
    const [end, reach] = [x(point.certified), `M${left},${top}H${x(point.certified)}`];
    draw(node, "path", { d: reach, stroke: color, "stroke-width": 1, "stroke-dasharray": "1 3", fill: "none" });
    draw(node, "path", { d: `M${end},${top - 6}v12`, stroke: color, "stroke-width": 2, fill: "none" });
  }
  draw(node, "circle", { class: "ring", cx: left, cy: top, r: 11 });
  draw(node, "circle", { cx: left, cy: top, r: 11, fill: "transparent" });
  mark(node, point.setting, left, top, color);
  const named = !several() && point.setting === "federated" && point.method === "tiprdc+";
  if (named) draw(node, "text", { x: left + 9, y: top + 16 }, dialName(point));
  Object.assign(point, { node, left, top });
  node.addEventListener("focus", () => {
    setCurrent(point);
    showTip(point);
  });
  node.addEventListener("blur", hideTip);
}

function setCurrent(point) {
  if (frontier.current?.node) frontier.current.node.setAttribute("tabindex", -1);
  frontier.current = point;
  point.node.setAttribute("tabindex", 0);
}

function showTip(point) {
  const { tip } = frontier;
  const { attack, interval: between, retention, tasks } = reading(point);
  const lines = [attack, between, retention, ...tasks].map((text) => element("li", {}, text));
  tip.replaceChildren(element("strong", {}, pointName(point)), element("ul", {}, ...lines));
  tip.hidden = false;
  const [width, height] = [tip.parentElement.clientWidth, tip.parentElement.clientHeight];
  const right = point.left + 16 + tip.offsetWidth <= width;
  const left = right ? point.left + 16 : Math.max(0, Math.min(width - tip.offsetWidth, point.left - 16 - tip.offsetWidth));
  const below = point.top + 16 + tip.offsetHeight <= height;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? point.top + 16 : Math.max(0, point.top - 16 - tip.offsetHeight)}px`;
}

function hideTip() {
  frontier.tip.hidden = true;
}

function choose(point) {
  if (frontier.chosen?.node) frontier.chosen.node.classList.remove("chosen");
  frontier.chosen = point;
  point.node.classList.add("chosen");
  showDetails(point, closeDetails);
  byId("frontier-status").textContent = `Details of ${pointName(point)} are below the figure.`;
}

function closeDetails() {
  byId("details").hidden = true;
  byId("frontier-status").textContent = "Details closed.";
  if (frontier.chosen?.node?.isConnected) {
    frontier.chosen.node.classList.remove("chosen");
    frontier.chosen.node.focus();
  }
  frontier.chosen = null;
}

function nearest(event) {
  const place = frontier.svg.getBoundingClientRect();
  const [left, top] = [event.clientX - place.left, event.clientY - place.top];
  const far = (point) => Math.hypot(point.left - left, point.top - top);
  return visiblePoints().reduce((best, point) => (far(point) <= (best ? far(best) : REACH) ? point : best), null);
}

/* The point that a key leads to from the current one: along its curve, or to the next curve at about the same dial. */
function neighbor(key) {
  const points = visiblePoints();
  const { current } = frontier;
  const curves = Array.from(new Set(points.map(curveName)));
  const mine = points.filter((point) => curveName(point) === curveName(current));
  const place = mine.indexOf(current);
  if (key === "ArrowRight") return mine[place + 1];
  if (key === "ArrowLeft") return mine[place - 1];
  if (key === "Home") return points[0];
  if (key === "End") return points[points.length - 1];
  const turn = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!turn) return undefined;
  const next = curves[(curves.indexOf(curveName(current)) + turn + curves.length) % curves.length];
  const others = points.filter((point) => curveName(point) === next);
  return others[Math.min(place, others.length - 1)];
}

function onFrontierKey(event) {
  if (!frontier.current || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") choose(frontier.current);
  else if (event.key === "Escape") hideTip();
  else if (/^(Arrow|Home|End)/.test(event.key)) neighbor(event.key)?.node.focus();
  else return;
  event.preventDefault();
}

function drawLegend() {
  const buttons = Array.from(frontier.series, ([name, [first]]) => {
    const button = element("button", { type: "button", "aria-pressed": !frontier.hidden.has(name) });
    const swatch = draw(button, "svg", { viewBox: "0 0 30 14", "aria-hidden": true });
    const line = { x1: 0, x2: 30, y1: 7, y2: 7, stroke: colorOf(first), "stroke-width": 1.8 };
    if (first.setting !== "raw") draw(swatch, "line", { ...line, "stroke-dasharray": DASHES[first.setting] });
    mark(swatch, first.setting, 15, 7, colorOf(first), 4);
    button.append(name);
    button.addEventListener("click", () => {
      if (!frontier.hidden.delete(name)) frontier.hidden.add(name);
      button.setAttribute("aria-pressed", !frontier.hidden.has(name));
      drawFrontier();
    });
    return button;
  });
  byId("frontier-legend").replaceChildren(...buttons);
}

function startFrontier() {
  preparePoints();
  const tasks = Array.from(new Set(frontier.points.flatMap((point) => Object.keys(point.tasks))));
  const select = byId("frontier-value");
  options(select, ["mean retention of all tasks", ...tasks.map((task) => `retention of ${task}`)]);
  select.addEventListener("change", () => {
    frontier.value = select.value === "0" ? "" : tasks[select.value - 1];
    drawFrontier();
  });
  const { svg } = frontier;
  svg.addEventListener("pointermove", (event) => {
    const point = event.pointerType === "touch" ? null : nearest(event); /* a finger gets the details at once */
    if (point) showTip(point);
    else hideTip();
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    const point = nearest(event);
    if (!point) return;
    setCurrent(point);
    choose(point);
  });
  svg.addEventListener("keydown", onFrontierKey);
  drawLegend();
  redrawing(svg.parentElement, drawFrontier);
}
