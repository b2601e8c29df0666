/* Tables that sort by their headers and, where they are long, can be searched. */

const LONG = 20; /* rows from which a table gets a search field */

function cellValue(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}

/* Numbers by size, else text as people read it ("λ 2" before "λ 10"); what is empty comes last either way. */
function order(one, other, direction) {
  const empty = (value) => value === "" || value === "–";
  if (empty(one) || empty(other)) return Number(empty(one)) - Number(empty(other));
  if (typeof one === "number" && typeof other === "number") return direction * (one - other);
  return direction * String(one).localeCompare(String(other), "en", { numeric: true });
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, value: cellValue(row, column) }));
  rows.sort((a, b) => order(a.value, b.value, ascending ? 1 : -1));
  body.append(...rows.map(({ row }) => row));
}

function addSearch(table) {
  const rows = Array.from(table.tBodies[0].rows);
  const count = element("span", { role: "status" }, `${rows.length} rows`);
  const field = element("input", { type: "search", autocomplete: "off" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = Array.from(row.cells, (cell) => cell.textContent.toLowerCase());
      row.hidden = !words.every((word) => text.some((cell) => cell.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  });
  table.parentElement.before(element("p", { class: "filter" }, element("label", {}, "Rows with: ", field), count));
}

function sortable(table) {
  for (const header of table.tHead.rows[0].cells) {
    const button = element("button", { type: "button" }, header.textContent);
    header.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, header));
    const cells = Array.from(table.tBodies[0].rows, (row) => row.cells[header.cellIndex]);
    if (cells.some((cell) => cell.dataset.value !== undefined)) header.classList.add("number");
  }
  if (table.tBodies[0].rows.length > LONG) addSearch(table);
}

/* A sortable table in a box that scrolls. rows: lists of texts and numbers, or { text, value } of a number that is shown
   in its own way; marked: rows that stand out. */
function makeTable(heading, names, rows, marked = []) {
  const body = rows.map((row, i) =>
    element(
      "tr",
      {},
      ...row.map((value) => {
        const cell = typeof value === "number" ? { text: number(value), value } : value?.text ? value : { text: value ?? "–" };
        return element("td", { "data-value": cell.value ?? null, class: marked[i] ? "marked" : null }, cell.text);
      }),
    ),
  );
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const box = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heading }, table);
  const whole = element("div", { class: "table" }, element("h3", {}, heading), box);
  sortable(table);
  return whole;
}
