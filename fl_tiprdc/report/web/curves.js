/* Training curves: a panel a loss, a line a λ, to be read by pointer and by keyboard. */

const LINES = [null, "7 3", "2 3", "8 3 2 3", "12 4", "4 2"]; /* dashes, so that color isn't all that tells λ apart */

const HEIGHT = 230; /* pixels of a panel */

const curves = { groups: [], group: null };

function prepareGroups() {
  const byName = new Map();
  DATA.runs.forEach((run, runNumber) => {
    for (const row of run.curves) {
      const name = curveName({ ...row, run: run.name, runNumber });
      if (!byName.has(name)) byName.set(name, []);
      byName.get(name).push(row);
    }
  });
  const rank = (rows) => Number(rows[0].setting !== "federated") * 2 + Number(rows[0].method !== "tiprdc+");
  curves.groups = Array.from(byName, ([name, rows]) => ({
    name,
    rows: rows.filter((row) => row.value !== null),
    lambdas: Array.from(new Set(rows.map((row) => row.lam))).sort((a, b) => a - b),
    unit: rows[0].setting === "centralized" ? "update" : "round",
  })).sort((a, b) => rank(a.rows) - rank(b.rows));
}

function lineLooks(i) {
  const shades = isDark() ? DATA.shades.dark : DATA.shades.light;
  const count = curves.group.lambdas.length;
  const place = count > 1 ? Math.round((i * (shades.length - 1)) / (count - 1)) : 0;
  return { stroke: shades[place], "stroke-dasharray": LINES[i % LINES.length] };
}

function drawCurves() {
  const { group } = curves;
  const entries = group.lambdas.map((lam, i) => {
    const entry = element("span");
    const swatch = draw(entry, "svg", { viewBox: "0 0 30 14", "aria-hidden": true });
    draw(swatch, "line", { x1: 0, x2: 30, y1: 7, y2: 7, "stroke-width": 2.2, ...lineLooks(i) });
    entry.append(group.rows[0].shared ? "all λ" : `λ = ${lam}`);
    return entry;
  });
  byId("curves-legend").replaceChildren(...entries);
  const box = byId("curves-panels");
  const old = Array.from(box.children).indexOf(document.activeElement);
  box.replaceChildren();
  const losses = Object.keys(DATA.losses).filter((loss) => group.rows.some((row) => row.loss === loss));
  /* all of them first: a panel is as wide as their number leaves */
  const panels = losses.map((loss) => draw(box, "svg", { tabindex: 0, role: "img", "data-loss": loss, height: HEIGHT }));
  losses.forEach((loss, i) => drawPanel(panels[i], loss, group.rows.filter((row) => row.loss === loss)));
  if (old >= 0) box.children[old]?.focus();
}

function drawPanel(svg, loss, rows) {
  const { group } = curves;
  const name = DATA.losses[loss];
  const { width } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const rounds = Array.from(new Set(rows.map((row) => row.round))).sort((a, b) => a - b);
  let [low, high] = [Math.min(...rows.map((row) => row.low)), Math.max(...rows.map((row) => row.high))];
  const spread = (high - low || Math.abs(high) || 1) * 0.05;
  [low, high] = [low - spread, high + spread];
  const box = { left: 46, top: 24, right: width - 10, bottom: HEIGHT - 40 };
  const x = scale(rounds[0], rounds[rounds.length - 1], box.left + 4, box.right - 4);
  const y = scale(low, high, box.bottom, box.top);
  const whole = ticks(rounds[0], Math.max(rounds[0] + 1, rounds[rounds.length - 1]), Math.min(6, rounds.length));
  const xTicks = whole.filter(({ value }) => Number.isInteger(value) && value <= rounds[rounds.length - 1]);
  axes(svg, box, x, y, xTicks, ticks(low, high, 5), group.unit, name);
  const summary = group.lambdas.map((lam, i) => {
    const line = rows.filter((row) => row.lam === lam).sort((a, b) => a.round - b.round);
    if (!line.length) return "";
    const looks = lineLooks(i);
    const back = [...line].reverse().map((row) => `${x(row.round)},${y(row.low)}`);
    const band = [...line.map((row) => `${x(row.round)},${y(row.high)}`), ...back];
    draw(svg, "polygon", { points: band.join(" "), fill: looks.stroke, opacity: 0.2 });
    const path = line.map((row) => `${x(row.round)},${y(row.value)}`).join("L");
    draw(svg, "path", { d: `M${path}`, fill: "none", "stroke-width": 1.8, ...looks });
    if (line.length === 1) draw(svg, "circle", { cx: x(line[0].round), cy: y(line[0].value), r: 3, fill: looks.stroke });
    return `${group.rows[0].shared ? "all λ" : `λ ${lam}`}: from ${number(line[0].value)} to ${number(line[line.length - 1].value)}`;
  });
  svg.setAttribute("aria-label", `Line chart of ${group.name}: ${name}, by ${group.unit}. ${summary.filter(Boolean).join("; ")}`);
  addReading(svg, name, rows, rounds, x, box);
}

/* A line to move over the panel; what it stands on is written under the panels. */
function addReading(svg, name, rows, rounds, x, box) {
  const cursor = draw(svg, "line", { class: "axis", y1: box.top, y2: box.bottom, visibility: "hidden" });
  let place = -1;
  const read = (next) => {
    place = Math.max(0, Math.min(rounds.length - 1, next));
    const round = rounds[place];
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(round));
    cursor.setAttribute("visibility", "visible");
    const values = rows.filter((row) => row.round === round).sort((a, b) => a.lam - b.lam);
    const texts = values.map((row) => `${row.shared ? "all λ" : `λ ${row.lam}`}: ${number(row.value)}`);
    byId("curves-reading").textContent = `${curves.group.name}, ${curves.group.unit} ${round}, ${name}: ${texts.join(", ")}`;
  };
  const leave = () => cursor.setAttribute("visibility", "hidden");
  svg.addEventListener("pointermove", (event) => {
    const left = event.clientX - svg.getBoundingClientRect().left;
    const far = rounds.map((round) => Math.abs(x(round) - left));
    read(far.indexOf(Math.min(...far)));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) read(place + step);
    else if (event.key === "Home") read(0);
    else if (event.key === "End") read(rounds.length - 1);
    else return;
    event.preventDefault();
  });
}

function startCurves() {
  prepareGroups();
  if (!curves.groups.length) {
    byId("curves").replaceChildren(element("p", { class: "note" }, "No rounds.csv was there."));
    return;
  }
  [curves.group] = curves.groups;
  const select = byId("curves-of");
  options(select, curves.groups.map((group) => group.name));
  select.addEventListener("change", () => {
    curves.group = curves.groups[select.value];
    byId("curves-reading").textContent = "";
    drawCurves();
  });
  redrawing(byId("curves-panels"), drawCurves);
}
