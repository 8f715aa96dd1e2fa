// Tables that sort by their heads, filter by a box and export what they show. Values come from <data value> and
// <time datetime>, so sorting and CSV use exact numbers, not the rounded text. A CSV says the unit of a column in its
// head, or beside each number where a column has several.

const chosen = new Map(); // table id -> {column, direction, filter}; kept over live renewals

function exact(cell) {
  const value = cell.querySelector("data[value]");
  if (value) return Number(value.value);
  const time = cell.querySelector("time[datetime]");
  return time ? Date.parse(time.dateTime) : cell.textContent.trim().toLowerCase();
}

function plain(cell) {
  const value = cell.querySelector("data[value]");
  if (value) return value.value;
  const time = cell.querySelector("time[datetime]");
  const code = cell.querySelector("code[title]");
  return time ? time.dateTime : code ? code.title : cell.textContent.trim().replace(/\s+/g, " ");
}

function arrange(table) {
  const choice = chosen.get(table.id);
  if (!choice) return;
  const rows = [...table.tBodies[0].rows];
  if (choice.column !== undefined) {
    const order = choice.direction === "descending" ? -1 : 1;
    // Words in a column of numbers ("none") come last, whichever way it is sorted.
    const compare = (a, b) => (a === b ? 0 : typeof a !== typeof b ? (typeof a === "string" ? 1 : -1) : (a > b ? 1 : -1) * order);
    rows.sort((a, b) => compare(exact(a.cells[choice.column]), exact(b.cells[choice.column])));
    table.tBodies[0].append(...rows);
    [...table.tHead.rows[0].cells].forEach((head, i) => head.setAttribute("aria-sort", i === choice.column ? choice.direction : "none"));
  }
  for (const row of rows) row.hidden = Boolean(choice.filter) && !row.textContent.toLowerCase().includes(choice.filter);
}

function prepare(table) {
  for (const head of table.tHead.rows[0].cells) {
    if (head.querySelector("button") || !head.textContent.trim() || head.hasAttribute("data-fixed")) continue;
    const button = document.createElement("button");
    button.type = "button";
    // A link cannot stand inside a button: the button then stands beside it.
    if (head.querySelector("a")) Object.assign(button, { className: "sorts", ariaLabel: `Sort by ${head.textContent.trim()}` });
    else button.append(...head.childNodes);
    head.append(button);
  }
  for (const row of table.querySelectorAll("tbody tr, tfoot tr")) {
    [...row.cells].forEach((cell, i) => {
      if (!cell.dataset.label) cell.dataset.label = cell.colSpan > 1 ? "" : table.tHead.rows[0].cells[i]?.textContent.trim() ?? "";
    });
  }
  arrange(table);
}

// Of the number that is exported; what is shown in millions is exported whole.
const unitOf = (cell) => {
  const beside = cell?.querySelector("data[value]")?.nextElementSibling;
  return beside?.matches(".unit") ? beside.textContent.trim().replace(/^m /, "") : "";
};

function csv(table) {
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const units = [...table.tHead.rows[0].cells].map((head, i) => [...new Set(rows.map((row) => unitOf(row.cells[i])).filter(Boolean))]);
  const heads = [...table.tHead.rows[0].cells].map((head, i) => (units[i].length === 1 && !plain(head).endsWith(units[i][0]) ? `${plain(head)}, ${units[i][0]}` : plain(head)));
  const values = rows.map((row) => [...row.cells].map((cell, i) => (units[i]?.length > 1 ? `${plain(cell)} ${unitOf(cell)}`.trim() : plain(cell))));
  const safe = (text) => `"${(/^[=+@\t\r]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;
  return [heads, ...values].map((row) => row.map(safe).join(",")).join("\r\n");
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("table[data-sheet] thead th");
  if (head && event.target.closest("button")) {
    const table = head.closest("table");
    const choice = chosen.get(table.id) ?? {};
    const direction = choice.column === head.cellIndex && choice.direction === "ascending" ? "descending" : "ascending";
    chosen.set(table.id, { ...choice, column: head.cellIndex, direction });
    arrange(table);
  }
  const save = event.target.closest("[data-csv-of]");
  if (save) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(document.getElementById(save.dataset.csvOf))], { type: "text/csv" }));
    link.download = `${save.dataset.csvOf}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
});
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  const table = document.getElementById(event.target.dataset.filters);
  chosen.set(table.id, { ...chosen.get(table.id), filter: event.target.value.trim().toLowerCase() });
  arrange(table);
});
const prepareAll = () => document.querySelectorAll("table[data-sheet]").forEach(prepare);
document.addEventListener("htmx:afterSwap", prepareAll);
prepareAll();
