"use strict";
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const short = value => Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 8 });

// Tables sort by a click on a heading: numbers first down, then up; what is no number comes last.
for (const table of all("table.sortable")) {
  const heads = all("thead th", table), body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("keydown", event => event.key === "Enter" && head.click());
  });
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.ariaSort === "ascending" || (!head.ariaSort && column > 0);
    heads.forEach(other => other.ariaSort = null);
    head.ariaSort = down ? "descending" : "ascending";
    const text = row => row.cells[column].textContent;
    const number = row => parseFloat(text(row).replaceAll(",", "").replace("−", "-"));
    const textual = !column || head.classList.contains("text");
    const compare = (a, b) => textual
      ? text(a).localeCompare(text(b), "en", { numeric: true })
      : number(a) - number(b);
    const known = row => textual ? text(row) !== "" : !isNaN(number(row));
    const rows = [...body.rows].sort((a, b) =>
      known(b) - known(a) || (known(a) ? (down ? compare(b, a) : compare(a, b)) : 0));
    body.append(...rows);
  }));
  const filter = table.closest(".panel").querySelector(".filter");
  filter.hidden = body.rows.length <= 20;
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const row of body.rows)
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  });
}

// Charts tell the values under the pointer in their legend.
for (const svg of all("svg.chart[data-scale]")) {
  const [x0, x1, left, right, y0, y1, bottom, top] = svg.dataset.scale.split(" ").map(Number);
  const lines = all("polyline", svg).map(line =>
    line.getAttribute("points").split(" ").map(pair => pair.split(",").map(Number)));
  const outputs = all("output", svg.parentElement);
  const title = svg.parentElement.querySelector("figcaption"), name = title.textContent;
  const cursor = document.createElementNS(svg.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", top);
  cursor.setAttribute("y2", bottom);
  svg.addEventListener("pointermove", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const near = line => line.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
    const spots = lines.map(near), x = near(spots)[0];
    spots.forEach(([, y], i) =>
      outputs[i].value = short(y0 + (y - bottom) / (top - bottom) * (y1 - y0)));
    title.textContent = `${name} · step ${Math.round(x0 + (x - left) / (right - left) * (x1 - x0))}`;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    svg.append(cursor);
  });
  svg.addEventListener("pointerleave", () => {
    outputs.forEach(output => output.value = "");
    title.textContent = name;
    cursor.remove();
  });
}

// Matrices tell the pair of classes under the pointer.
for (const box of all(".matrix-box")) {
  const readout = box.querySelector(".readout"), usual = readout.innerHTML;
  const tell = (actual, predicted, value) =>
    readout.textContent = `true ${actual} · predicted ${predicted}${value ? ` · ${value}` : ""}`;
  box.addEventListener("pointerover", event => {
    const cell = event.target.closest("td");
    if (!cell) return;
    const heads = box.querySelector("thead tr").cells;
    tell(cell.parentElement.cells[0].textContent, heads[cell.cellIndex].textContent,
      cell.textContent || "0");
  });
  const picture = box.querySelector("img.matrix");
  const classes = picture ? JSON.parse(box.querySelector(".names").textContent) : [];
  picture?.addEventListener("pointermove", event => {
    const frame = picture.getBoundingClientRect();
    const index = share => Math.min(classes.length - 1, Math.max(0, Math.floor(share * classes.length)));
    tell(classes[index((event.clientY - frame.top) / frame.height)],
      classes[index((event.clientX - frame.left) / frame.width)]);
  });
  box.addEventListener("pointerleave", () => readout.innerHTML = usual);
}

// On paper nothing can be opened.
addEventListener("beforeprint", () => all("details").forEach(part => part.open = true));
