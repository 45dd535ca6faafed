"use strict";
// Layers of pictures: a box shows or hides the element that it names.
for (const box of document.querySelectorAll("input[data-layer]")) {
  const layer = document.getElementById(box.dataset.layer);
  const apply = () => { layer.style.display = box.checked ? "" : "none"; };
  box.addEventListener("change", apply);
  apply(); // A reload keeps the boxes as they were.
}

// Tables: a click on a head sorts by that column, a second one the other way round. What has no value stays at the end.
const numberOf = (text) => {
  const found = text.replace(/\u2212/g, "-").match(/^[<>~\u2248 ]*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)/i);
  return found ? Number(found[1]) : NaN;
};
const isEmpty = (text) => text === "" || text === "\u2013" || text === "not measured";
const sortBy = (table, column, descending) => {
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.cells[column].textContent.trim() }));
  const filled = rows.filter((r) => !isEmpty(r.text));
  const isNumeric = filled.every((r) => !Number.isNaN(numberOf(r.text)));
  const compare = isNumeric
    ? (a, b) => numberOf(a.text) - numberOf(b.text)
    : (a, b) => a.text.localeCompare(b.text, "en", { numeric: true });
  filled.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...filled.map((r) => r.row), ...rows.filter((r) => isEmpty(r.text)).map((r) => r.row));
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sortBy(table, column, descending);
  }));
}

// On paper nothing can be opened: folded pictures are printed, folded tables stand in report.md.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:has(figure)")) fold.open = true;
});
