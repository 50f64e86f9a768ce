"use strict";
(() => {
  const body = document.querySelector("#table tbody");
  const rows = [...body.rows];
  const filter = document.getElementById("filter"), outcome = document.getElementById("outcome");
  const controls = document.getElementById("controls"), shown = document.getElementById("shown");
  const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = words.every(word => texts.get(row).includes(word))
        && (!outcome.value || row.dataset.outcome === outcome.value)
        && (controls.checked || row.dataset.control === "no");
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} cells`;
  }
  for (const one of [filter, outcome, controls]) one.addEventListener("input", show);

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  }
  function order(a, b) {
    const numbers = [typeof a === "number", typeof b === "number"];
    if (numbers[0] && numbers[1]) return a - b;
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    return String(a).localeCompare(String(b));
  }
  document.querySelectorAll("#table th button").forEach(button => button.addEventListener("click", () => {
    const head = button.closest("th"), column = Number(button.dataset.column);
    const down = head.getAttribute("aria-sort") === "ascending";
    document.querySelectorAll("#table th").forEach(one => one.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = [...rows].sort((a, b) => order(key(a, column), key(b, column)) * (down ? -1 : 1));
    body.append(...sorted);
  }));

  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => document.querySelectorAll(".advice details").forEach(one => { one.open = true; }));

  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  }
  document.querySelectorAll("button.copy").forEach(button => button.addEventListener("click", async () => {
    const block = button.parentElement.querySelector("pre");
    if (await copied(block.textContent)) {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    } else {
      getSelection().selectAllChildren(block);
      button.textContent = "Selected: press Ctrl+C";
    }
  }));

  const specs = JSON.parse(document.getElementById("specs").textContent);
  const drawn = [...document.querySelectorAll("[data-chart]")].map(place =>
    vegaEmbed(place, specs[place.dataset.chart], { actions: false, renderer: "svg" }));
  show();
  open();
  Promise.all(drawn).then(() => { document.documentElement.dataset.drawn = String(drawn.length); });
})();
