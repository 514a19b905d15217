"use strict";
// Makes a table's headers buttons that sort its rows: stable, with what is missing at the end either way. `live` gives the
// present number of a cell in a column of such; the function that is returned sorts anew by it.
const sortable = (table, live) => {
  const collator = new Intl.Collator("en", { numeric: true });
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  let sorted = { column: 0, falling: false };

  const value = (row, column) => {
    const cell = row.cells[column];
    switch (headers[column].dataset.sort) {
      case "live":
        return live(row, cell);
      case "number":
      case "place":
        return cell.dataset.v === "" ? null : Number(cell.dataset.v);
      default:
        return cell.textContent;
    }
  };
  const sort = () => {
    const { column, falling } = sorted;
    const keyed = original.map((row) => [value(row, column), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : collator.compare(a, b);
      return falling ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  };
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      // Quantities are asked for largest first, names and places from the start.
      const first = ["number", "live"].includes(header.dataset.sort);
      const falling = sorted.column === column ? !sorted.falling : first;
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sorted = { column, falling };
      sort();
    });
  });
  headers[0].setAttribute("aria-sort", "ascending");
  return sort;
};
