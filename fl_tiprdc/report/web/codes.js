/* The codes: the exact attack's table as boxes, and a map of the codewords, to be read by pointer and by keyboard. */

const FEWER = [0, 98, 163];
const EVEN = [150, 154, 162];
const MORE = [213, 94, 0];
const MAP_HEIGHT = 300;
const PICTURE = 26; /* pixels */

const codes = { tables: [], table: null, lam: 0, marked: null };

/* A code's color: the further its share of the class is from the crowd's, the more of blue or orange; gray where the
   crowd's is within the interval. */
function codeColor(code) {
  const { prior } = codes.table;
  if (code.low <= prior && prior <= code.high) return `rgb(${EVEN.join(",")})`;
  const apart = code.posterior - prior;
  const part = Math.sqrt(Math.min(1, Math.abs(apart) / (apart > 0 ? 1 - prior : prior)));
  const towards = apart > 0 ? MORE : FEWER;
  return `rgb(${EVEN.map((from, i) => Math.round(from + part * (towards[i] - from))).join(",")})`;
}

function codesAt(place) {
  return codes.table.lambdas[place].codes.filter((code) => code.share > 0);
}

function readCode(name) {
  codes.marked = name;
  const { table, lam } = codes;
  const percent = (value) => `${number(100 * value, 1)} %`;
  const now = table.lambdas[lam].codes[name];
  const before = lam ? `; at λ = ${table.lambdas[0].lam} ${percent(table.lambdas[0].codes[name].posterior)}` : "";
  const told = `${table.class} ${percent(now.posterior)} (${percent(now.low)} to ${percent(now.high)}${before})`;
  const words = table.places[name]?.words;
  byId("codes-reading").textContent =
    `Code ${name}, ${percent(now.share)} of the people: ${told}, in the crowd ${percent(table.prior)}.${words ? ` Stands for: ${words}.` : ""}`;
  for (const node of document.querySelectorAll("#codes [data-code]")) {
    node.classList.toggle("marked-code", node.dataset.code === String(name));
  }
}

/* Arrow keys go from code to code by their share of the class, wherever they are drawn. */
function onCodesKey(event) {
  const order = codesAt(codes.lam).sort((a, b) => a.posterior - b.posterior).map((code) => code.code);
  const place = order.indexOf(codes.marked);
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: order.length - 1 }[event.key];
  if (next === undefined) return;
  readCode(order[Math.max(0, Math.min(order.length - 1, next))]);
  event.preventDefault();
}

function onCodesPointer(event) {
  const name = event.target.dataset?.code;
  if (name !== undefined) readCode(Number(name));
}

function listenForCodes(svg) {
  svg.addEventListener("pointermove", onCodesPointer);
  svg.addEventListener("click", onCodesPointer);
  svg.addEventListener("keydown", onCodesKey);
}

function drawCodesTable() {
  const svg = byId("codes-table");
  const width = svg.parentElement.clientWidth;
  const height = 280;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const { table, lam } = codes;
  const sorted = codesAt(lam).sort((a, b) => a.posterior - b.posterior);
  const box = { left: 40, top: 24, right: width - 14, bottom: height - 40 };
  const x = scale(0, 1, box.left, box.right);
  const y = scale(0, 1, box.bottom, box.top);
  axes(svg, box, x, y, ticks(0, 1, width / 110), ticks(0, 1, 5), "share of the people", `P(${table.class} | code)`);
  let begin = 0;
  for (const code of sorted) {
    const [left, top] = [x(begin), y(code.high)];
    begin += code.share;
    const size = { width: Math.max(0.5, x(begin) - left - 0.5), height: Math.max(1, y(code.low) - top) };
    draw(svg, "rect", { x: left, y: top, ...size, fill: codeColor(code), "data-code": code.code });
    const line = { x1: left, x2: x(begin), y1: y(code.posterior), y2: y(code.posterior) };
    draw(svg, "line", { ...line, class: "axis", "pointer-events": "none" });
  }
  const crowd = { x1: box.left, x2: box.right, y1: y(table.prior), y2: y(table.prior) };
  draw(svg, "line", { ...crowd, stroke: "currentColor", "stroke-dasharray": "5 4", "pointer-events": "none" });
  const [low, high] = [sorted[0].posterior, sorted[sorted.length - 1].posterior];
  const told = `from ${number(low)} to ${number(high)}, in the crowd ${number(table.prior)}`;
  svg.setAttribute("aria-label", `Table of the exact attack: share of ${table.class} in ${sorted.length} codes, ${told}`);
}

function drawMap(svg, place) {
  const { width } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${MAP_HEIGHT}`);
  const { table } = codes;
  const xs = table.places.map((at) => at.x);
  const ys = table.places.map((at) => at.y);
  const x = scale(Math.min(...xs), Math.max(...xs), 20, width - 20);
  const y = scale(Math.min(...ys), Math.max(...ys), MAP_HEIGHT - 20, 40);
  draw(svg, "text", { class: "name", x: 2, y: FONT }, `λ = ${table.lambdas[place].lam}`);
  for (const code of codesAt(place)) {
    const at = table.places[code.code];
    const [left, top] = [x(at.x), y(at.y)];
    const about = { fill: codeColor(code), "data-code": code.code };
    const side = PICTURE + 6;
    if (at.picture) {
      draw(svg, "rect", { ...about, x: left - side / 2, y: top - side / 2, width: side, height: side });
      const image = { x: left - PICTURE / 2, y: top - PICTURE / 2, width: PICTURE, height: PICTURE };
      draw(svg, "image", { ...image, href: `data:image/png;base64,${at.picture}`, "data-code": code.code });
    } else {
      const r = Math.max(2.5, Math.sqrt(code.share * table.places.length) * 6);
      draw(svg, "circle", { ...about, cx: left, cy: top, r, "fill-opacity": 0.85 });
    }
  }
  svg.setAttribute("aria-label", `Map of ${table.places.length} codes at λ = ${table.lambdas[place].lam}, colored by their share of ${table.class}`);
}

function drawCodes() {
  drawCodesTable();
  const panels = byId("codes-panels");
  panels.replaceChildren();
  byId("codes-map").hidden = !codes.table.places.length;
  if (codes.table.places.length) {
    const shown = codes.lam ? [0, codes.lam] : [0];
    /* both of them first: a panel is as wide as their number leaves */
    const maps = shown.map(() => draw(panels, "svg", { tabindex: 0, role: "img", height: MAP_HEIGHT }));
    maps.forEach((svg, i) => drawMap(svg, shown[i]));
    maps.forEach(listenForCodes);
  }
  if (codes.marked !== null) readCode(codes.marked);
}

function startCodes() {
  for (const run of DATA.runs) {
    for (const table of run.codes) codes.tables.push({ ...table, name: several() ? `${run.name}: ${table.name}` : table.name });
  }
  if (!codes.tables.length) return;
  const [of, lam] = [byId("codes-of"), byId("codes-lambda")];
  options(of, codes.tables.map((table) => table.name));
  const choose = () => {
    codes.table = codes.tables[of.value];
    codes.marked = null;
    byId("codes-reading").textContent = "";
    options(lam, codes.table.lambdas.map((one) => String(one.lam)));
    codes.lam = codes.table.lambdas.length - 1;
    lam.value = String(codes.lam);
  };
  choose();
  of.addEventListener("change", () => {
    choose();
    drawCodes();
  });
  lam.addEventListener("change", () => {
    codes.lam = Number(lam.value);
    drawCodes();
  });
  listenForCodes(byId("codes-table"));
  redrawing(byId("codes-table").parentElement, drawCodes);
}
