/* Two runs beside each other: points that both have, areas, and the settings in which they differ. */

function pointsTable(one, other) {
  const key = (point) => [point.setting, point.method, point.lam].join(" ");
  const certified = [...one.points, ...other.points].some((point) => point.certified);
  const theirs = new Map(other.points.map((point) => [key(point), point]));
  const rows = one.points.filter((point) => theirs.has(key(point))).map((a) => {
    const b = theirs.get(key(a));
    const apart = a.attack_low > b.attack_high || b.attack_low > a.attack_high;
    const [name, attack, kept] = [a.setting === "raw" ? "" : { text: String(a.lam), value: a.lam }, b.attack - a.attack, b.retention - a.retention];
    const numbers = [a.attack, b.attack, attack, apart ? "yes" : "no", a.retention, b.retention, kept];
    const bounds = certified ? [a.certified ?? null, b.certified ?? null] : [];
    return [a.setting, a.method, name, ...numbers, ...bounds];
  });
  const names = ["setting", "method", "λ or dial", "attack A", "attack B", "B - A", "intervals apart"];
  const bounds = certified ? ["certified A", "certified B"] : [];
  return makeTable("Points of both", [...names, "retention A", "retention B", "B - A", ...bounds], rows);
}

function areasTable(one, other) {
  const names = Array.from(new Set([...Object.keys(one.areas), ...Object.keys(other.areas)]));
  const rows = names.map((name) => {
    const [a, b] = [one.areas[name] ?? null, other.areas[name] ?? null];
    return [name, a, b, a === null || b === null ? null : b - a];
  });
  return makeTable("Frontier area", ["curve", "A", "B", "B - A"], rows);
}

function settingsTable(one, other) {
  const names = Array.from(new Set([...Object.keys(one.config), ...Object.keys(other.config)]));
  const rows = names
    .filter((name) => one.config[name] !== other.config[name])
    .map((name) => [name, one.config[name] ?? null, other.config[name] ?? null]);
  const same = element("p", { class: "note" }, "Every setting is the same.");
  return rows.length ? makeTable("Settings that differ", ["setting", "A", "B"], rows) : same;
}

function startComparison() {
  if (!several()) return;
  const [a, b] = [byId("run-a"), byId("run-b")];
  const compare = () => {
    const [one, other] = [DATA.runs[a.value], DATA.runs[b.value]];
    const parts = [pointsTable(one, other), areasTable(one, other), settingsTable(one, other)];
    byId("comparison-tables").replaceChildren(...parts);
  };
  for (const select of [a, b]) {
    options(select, DATA.runs.map((run) => run.name));
    select.addEventListener("change", compare);
  }
  b.value = "1";
  compare();
}
