"use strict";
// Every table with a head is sorted by the column whose title is pressed; without this script it stands as it came.
for (const table of document.querySelectorAll("table:not(.matrix)")) {
  const titles = table.tHead ? [...table.tHead.rows[0].cells] : [], body = table.tBodies[0];
  if (!titles.length || body.rows.length < 2) continue;
  const first = [...body.rows];
  const shown = (row, place) => row.cells[place].firstChild?.textContent.trim() ?? "";
  const number = (text) => parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
  const sort = (place, step) => {
    // In the order of the page, so that equal rows keep theirs; what has no value stands last either way.
    const known = first.filter((row) => !/^\u2013?$/.test(shown(row, place)));
    const numeric = known.every((row) => !Number.isNaN(number(shown(row, place))));
    known.sort((one, other) => {
      const [a, b] = [shown(one, place), shown(other, place)];
      return step * (numeric ? number(a) - number(b) : a.localeCompare(b, undefined, { numeric: true }));
    });
    body.append(...known, ...first.filter((row) => !known.includes(row)));
  };
  titles.forEach((title, place) => {
    if (!title.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const falls = title.getAttribute("aria-sort") === "ascending";
      for (const one of titles) one.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", falls ? "descending" : "ascending");
      sort(place, falls ? -1 : 1);
    });
  });
}
