"use strict";
// Tables are sorted by their heads, the confusion matrix by error. Without this the page says the same in one order.
(() => {
  const make = (name, text, more) => Object.assign(document.createElement(name), { textContent: text, ...more });

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = (cell.dataset.value ?? cell.textContent).trim();
    return text === "" ? null : isNaN(text) ? text : Number(text);
  };

  // what is empty stays at the end, numbers stand before words
  const ordered = (one, other, down) => {
    if (one === null || other === null) return (one === null) - (other === null);
    const sign = down ? -1 : 1;
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return sign * (typeof one === "number" ? one - other : one.localeCompare(other));
  };

  const sortBy = (table, heads, column) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    const before = heads[column].getAttribute("aria-sort");
    const numbers = rows.some(([value]) => typeof value === "number");
    const down = before ? before === "ascending" : numbers;
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.sort((a, b) => ordered(a[0], b[0], down));
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, { type: "button" });
      button.addEventListener("click", () => sortBy(table, heads, column));
      head.replaceChildren(button);
    });
  }

  for (const place of document.querySelectorAll("[data-matrix]")) {
    const table = place.parentElement.querySelector("table.matrix");
    const head = table.tHead.rows[0];
    const rows = [...table.tBodies[0].rows];
    const columns = [head, ...rows].map((row) => [...row.cells]);
    const names = rows.map((row) => row.cells[0].textContent);
    const errors = rows.map((row) => Number(row.dataset.error));
    const orders = {
      "as in the data": () => 0,
      "most errors first": (a, b) => errors[b] - errors[a],
      "by name": (a, b) => names[a].localeCompare(names[b]),
    };
    const select = make("select", "");
    select.append(...Object.keys(orders).map((name) => make("option", name)));
    select.addEventListener("change", () => {
      const order = rows.map((_, index) => index).sort((a, b) => orders[select.value](a, b) || a - b);
      [head, ...rows].forEach((row, index) => {
        const cells = columns[index];
        row.replaceChildren(cells[0], ...order.map((each) => cells[each + 1]));
      });
      table.tBodies[0].replaceChildren(...order.map((each) => rows[each]));
    });
    const label = make("label", "Order of classes: ");
    label.append(select);
    place.append(label);
  }
})();
