/* The panel of one point: what it is, every attacker on it, every task. */

function ofPoint(rows, point) {
  return rows.filter((row) => row.setting === point.setting && row.method === point.method && row.lam === point.lam);
}

function attackersTable(run, point) {
  const rows = ofPoint(run.attackers, point);
  const names = ["attacked", "attacker", "AUC", "low", "high", "balanced accuracy", "accuracy"];
  const cells = rows.map((row) => [
    row.target, row.model, row.auc, row.low, row.high, row.balanced_accuracy ?? null, row.accuracy ?? null,
  ]);
  const marked = rows.map((row) => row.chosen > 0);
  return makeTable("Attackers (marked: the one that counts)", names, cells, marked);
}

function tasksTable(run, point) {
  const names = ["task", "best probe", "AUC", "low", "high", "raw AUC", "retention", "accuracy"];
  const cells = ofPoint(run.tasks, point).map((row) => [
    row.task, row.probe, row.auc, row.low, row.high, row.raw_auc, row.retention, row.accuracy ?? null,
  ]);
  return makeTable("Unknown tasks", names, cells);
}

/* Show the panel. close: what to do when a person closes it. */
function showDetails(point, close) {
  const panel = byId("details");
  const run = DATA.runs[point.runNumber];
  const button = element("button", { type: "button" }, "Close");
  button.addEventListener("click", close);
  const facts = [
    ["worst attack", `${point.attacker} on ${point.attribute}`],
    ["its AUC", `${number(point.attack)} (${interval(point.attack_low, point.attack_high)}; 0.5 is chance)`],
    ["mean retention", `${number(point.retention)} (raw data is 1)`],
    ["seeds", String(point.seeds)],
  ];
  if (point.capacity !== null) facts.push(["capacity", `${number(point.capacity, 1)} bits a release, for any attacker`]);
  const list = element("dl", {}, ...facts.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
  panel.replaceChildren(
    element("div", { class: "details-head" }, element("h3", {}, pointName(point)), button),
    list,
    attackersTable(run, point),
    tasksTable(run, point),
  );
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
}
