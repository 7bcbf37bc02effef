"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const narrow = window.matchMedia("(max-width: 1180px)");
  const buttons = [...document.querySelectorAll(".cell")];
  const slices = () => [...document.querySelectorAll("[data-slice]")];
  let pinned = null;

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const step = (value) => (value === null ? "–" : value.toLocaleString("en"));

  // -- the panel -----------------------------------------------------------------------------------------------
  const ticks = () => {
    const decades = [];
    for (let at = 1; at <= data.last; at *= 10) decades.push(at);
    const every = Math.ceil(decades.length / 5);
    const share = (at) => (100 * Math.log1p(at)) / Math.log1p(data.last);
    const short = (at) => (at >= 1e6 ? `${at / 1e6}M` : at >= 1e3 ? `${at / 1e3}k` : at);
    const below = decades
      .filter((_, i) => (decades.length - 1 - i) % every === 0)
      .map((at) => `<span class="tick" style="left:${share(at)}%;top:calc(100% + 5px);transform:translateX(-50%)">${short(at)}</span>`);
    const left = [0, 50, 100].map(
      (at) => `<span class="tick" style="right:calc(100% + 5px);bottom:${at}%;transform:translateY(50%)">${at}%</span>`,
    );
    const title = `<span class="tick" style="left:50%;top:calc(100% + 22px);transform:translateX(-50%)">steps (log scale)</span>`;
    return [...below, ...left, title].join("");
  };
  const table = (members) => {
    const seed = (m) => (m.page === undefined ? m.seed : `<a href="${escape(m.page)}" aria-label="own report, seed ${m.seed}">${m.seed}</a>`);
    const lines = [
      ["outcome", (m) => escape(m.outcome)],
      ["steps", (m) => step(m.steps)],
      ["memorised", (m) => step(m.memorised)],
      ["grokked", (m) => step(m.grokked)],
      ["training, last", (m) => m.train ?? "–"],
      ["test, last", (m) => m.test ?? "–"],
      ["test, best", (m) => m.best ?? "–"],
    ];
    const head = members.map((m) => `<th scope="col">${seed(m)}</th>`).join("");
    const rows = lines.map(([name, of]) => `<tr><th scope="row">${name}</th>${members.map((m) => `<td>${of(m)}</td>`).join("")}</tr>`);
    return `<table><thead><tr><th scope="col">seed</th>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
  };
  const asking = (cell) => {
    const reasons = [...new Set(cell.members.map((m) => m.reason).filter(Boolean))].map((r) => `<p>${escape(r)}</p>`);
    const there = cell.members.filter((m) => m.page !== undefined);
    const begun = cell.members.filter((m) => m.steps !== null);
    if (there.length) reasons.push(`<p>A seed's number opens the run's own report.</p>`);
    if (there.length < begun.length)
      reasons.push(`<p>For the runs' own reports:</p><pre tabindex="0" class="command"><code>${escape(`${data.command} --members ${cell.argument}`)}</code></pre>`);
    return reasons.join("");
  };
  const show = (button) => {
    const cell = data.cells[button.dataset.cell];
    const label = button.getAttribute("aria-label");
    const at = label.indexOf(": ");
    document.getElementById("cell").textContent = label.slice(0, at);
    document.getElementById("cell-says").textContent = `${label[at + 2].toUpperCase()}${label.slice(at + 3)}.`;
    const drawn = button.querySelector(".spark").outerHTML.replace('aria-hidden="true"', `role="img" aria-label="Accuracies of ${cell.members.length} runs over log steps"`);
    document.getElementById("curves").innerHTML = `<div class="frame">${drawn}${ticks()}</div>`;
    document.getElementById("seeds").innerHTML = table(cell.members);
    document.getElementById("ask").innerHTML = asking(cell);
    for (const other of buttons) other.classList.toggle("chosen", other === button);
  };
  const pin = (button) => {
    pinned = pinned === button ? null : button;
    if (pinned !== null) show(pinned);
    panel.classList.toggle("pinned", pinned !== null);
    panel.classList.toggle("sheet", pinned !== null);
    if (pinned === null || !narrow.matches) return;
    const hidden = button.getBoundingClientRect().bottom - panel.getBoundingClientRect().top + 12;
    if (hidden > 0) window.scrollBy(0, hidden);
  };
  const letGo = () => pinned !== null && pin(pinned);

  // -- pointer and keyboard: one stop for the tab key, arrows between the cells ---------------------------------
  const stop = (button) => {
    for (const other of buttons) if (other.closest("table") === button.closest("table")) other.tabIndex = other === button ? 0 : -1;
  };
  const neighbour = (button, key) => {
    const cells = [...button.closest("table").querySelectorAll(".cell")];
    const place = (b) => b.dataset.cell.split("-").slice(1).map(Number);
    const [row, column] = place(button);
    const line = key === "ArrowLeft" || key === "ArrowRight";
    const along = cells.filter((b) => place(b)[line ? 0 : 1] === (line ? row : column));
    const to = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[key];
    if (to !== undefined) return along[along.indexOf(button) + to];
    return { Home: cells[0], End: cells[cells.length - 1] }[key];
  };
  for (const grid of document.querySelectorAll(".verdicts")) {
    const first = grid.querySelector(".cell");
    if (first !== null) stop(first);
  }
  for (const button of buttons) {
    button.addEventListener("pointerenter", (e) => e.pointerType === "mouse" && pinned === null && show(button));
    button.addEventListener("focus", () => {
      stop(button);
      if (pinned === null) show(button);
    });
    button.addEventListener("click", () => pin(button));
    button.addEventListener("keydown", (e) => {
      const next = neighbour(button, e.key);
      if (next === undefined) return;
      e.preventDefault();
      if (pinned !== null) letGo();
      next.focus();
      show(next);
    });
  }
  document.addEventListener("keydown", (e) => e.key === "Escape" && letGo());
  document.getElementById("close").addEventListener("click", letGo);

  // -- tables of the other settings ------------------------------------------------------------------------------
  const selects = [...document.querySelectorAll("select[data-free]")];
  const choose = (number) => {
    for (const node of slices()) node.hidden = Number(node.dataset.slice) !== number;
  };
  const chosen = () => selects.reduce((number, s, i) => number * data.free[i] + Number(s.value), 0);
  for (const select of selects) {
    select.value = "0";
    select.addEventListener("change", () => {
      letGo();
      choose(chosen());
    });
  }
  // A run's own report links back to its cell.
  const arrive = () => {
    const node = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const button = node?.querySelector?.(".cell");
    if (!button) return;
    let number = Number(button.dataset.cell.slice(1).split("-")[0]);
    choose(number);
    for (let i = selects.length - 1; i >= 0; i--) {
      selects[i].value = String(number % data.free[i]);
      number = Math.floor(number / data.free[i]);
    }
    button.scrollIntoView({ block: "center", inline: "center" });
    show(button);
  };
  window.addEventListener("hashchange", arrive);
  arrive();
})();
