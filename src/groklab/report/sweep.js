(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const grid = document.getElementById("grid");
  const narrow = window.matchMedia("(max-width: 1180px)");
  const nx = data.x.heads.length;
  const rows = [...Array(data.rows).keys()];
  if (data.upwards) rows.reverse();
  // few columns leave room for words and curves in every cell; many are squares
  const large = nx <= 8;
  // cividis: even steps of lightness for every kind of colour vision
  const RAMP = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
  // as wide as the text on A4 and on letter
  const PAPER = 680;
  let printing = false;
  let mode = data.colouring;
  let slice = 0;
  let shown = null;
  let pinned = null;

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const number = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
  const short = (value) => (value >= 1e6 ? `${+(value / 1e6).toPrecision(2)}M` : value >= 1e3 ? `${+(value / 1e3).toPrecision(2)}k` : Math.round(value));
  // as text.short_percent: rounded, but never up to 100%
  const percent = (share) => `${share < 0.0995 ? (100 * share).toFixed(1) : share < 1 ? Math.min(99, Math.round(100 * share)) : 100}%`;
  const upper = (text) => text[0].toUpperCase() + text.slice(1);
  const cells = () => data.slices[slice].cells;
  const nameOf = (cell) => `c${slice}-${cell.at[0]}-${cell.at[1]}`;
  const buttonOf = (cell) => document.getElementById(nameOf(cell))?.querySelector(".cell");
  let places = new Map();

  // -- colours -------------------------------------------------------------------------------------------------
  const TIMES = ["grokked", "train", "test", "gap"];
  const shade = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
    const i = Math.min(Math.floor(at), RAMP.length - 2);
    const mixed = RAMP[i].map((v, k) => Math.round(v + (at - i) * (RAMP[i + 1][k] - v)));
    return { fill: `rgb(${mixed.join(",")})`, on: share > 0.55 ? "#14161b" : "#ffffff" };
  };
  // Training and test share one scale, so that they can be compared; a gap of no step is at its lower end.
  const domain = (kinds) => {
    const seen = data.slices.flatMap((s) => s.cells).flatMap((cell) => kinds.map((k) => cell.times[k]?.[0] ?? null)).filter((v) => v !== null);
    const logs = seen.map((v) => Math.log10(Math.max(v, 1)));
    return logs.length ? [Math.min(...logs), Math.max(...logs)] : [0, 0];
  };
  const reach = domain(["train", "test"]);
  const domains = { grokked: domain(["grokked"]), train: reach, test: reach, gap: domain(["gap"]) };
  const share = (kind, value) => {
    const [low, high] = domains[kind];
    return high > low ? (Math.log10(Math.max(value, 1)) - low) / (high - low) : 0.5;
  };

  // -- what a cell shows in each mode: class or fill, a mark, a smaller text, a corner where seeds differ --------------
  const letters = (lead) => lead.map((p) => data.phases[p][1]).join("/");
  const phase = (cell) => {
    const [most, done] = cell.agree;
    if (!cell.lead.length) return { kind: "waiting", mark: "", small: "pending" };
    const kind = cell.lead.length > 1 ? "tied" : data.phases[cell.lead[0]][0];
    // a run at 82% is not called memorisation without its test accuracy
    const low = ["memorisation", "confusion"].includes(kind) && cell.acc !== null ? percent(cell.acc) : "";
    const small = [most < done ? `${most}/${done}` : "", low].filter(Boolean).join(" · ");
    return { kind, mark: letters(cell.lead), small, corner: most < done };
  };
  const verdict = (cell) => ({ kind: data.verdicts[cell.v], mark: cell.mark, small: cell.small, others: cell.others, corner: data.verdicts[cell.v] === "some" });
  const time = (kind) => (cell) => {
    if (cell.times[kind] === undefined) return { kind: "waiting", mark: "", small: "" };
    const [median, reached, n] = cell.times[kind];
    const some = reached > 0 && reached < n;
    const small = some ? `${reached}/${n}` : "";
    if (median === null) return { kind: "late", mark: large ? "not reached" : "", small, corner: some };
    return { ...shade(share(kind, median)), mark: large ? number(median) : `${short(median)}`, small, corner: some };
  };
  const accuracy = (cell) => (cell.acc === null ? { kind: "waiting", mark: "", small: "" } : { ...shade(cell.acc), mark: percent(cell.acc), small: "" });
  const entry = (cell) => {
    if (cell.pub === undefined) return { kind: "waiting", mark: "", small: "" };
    const [result, text] = cell.pub;
    return data.byPhase ? { kind: data.phases[result][0], mark: data.phases[result][1], small: "" } : { kind: result ? "grokked" : "none", mark: text, small: "" };
  };
  const own = (cell) => (data.byPhase ? phase(cell) : verdict(cell));
  const difference = (cell) => {
    const theirs = entry(cell);
    if (cell.pub === undefined || cell.pub[2] === 0) return { kind: "waiting", mark: "", small: "" };
    if (cell.pub[2] === 1) return { ...own(cell), faint: true, corner: false };
    const mine = own(cell);
    return { fill: `linear-gradient(to top right, var(--${theirs.kind}-fill, var(--${theirs.kind})) 50%, var(--${mine.kind}-fill, var(--${mine.kind})) 50%)`, on: "var(--ink)", mark: "≠", small: large ? `${mine.mark || mine.small} here, ${theirs.mark} published` : "", differs: true };
  };
  const PAINT = { phase, verdict, grokked: time("grokked"), train: time("train"), test: time("test"), gap: time("gap"), accuracy, published: entry, difference };
  const GROUP = { phase: 0, train: 0, test: 0, gap: 0, verdict: 1, grokked: 1, accuracy: 1, published: data.byPhase ? 0 : 1, difference: data.byPhase ? 0 : 1 };
  const comparing = () => mode === (data.byPhase ? "phase" : "verdict");

  const settings = (cell) => {
    const column = `${data.x.key} ${data.x.heads[cell.at[1]]}`;
    if (data.y === null) return column;
    const [text] = data.y.heads[cell.at[0]];
    return `${data.y.key.startsWith("task.expression") ? text : `${data.y.key} ${text}`}, ${column}`;
  };
  const published = (cell) => (cell.pub === undefined ? "" : `; published: ${cell.pub[1]}`);

  const spark = (cell) => {
    const path = (kind, d) => (d ? `<path class="${kind}" d="${d}"/>` : "");
    return `<svg class="spark" viewBox="0 0 240 100" preserveAspectRatio="none" aria-hidden="true">${path("train", cell.spark[0])}${path("test", cell.spark[1])}</svg>`;
  };
  const square = (cell, side) => {
    const look = PAINT[mode](cell);
    const differs = look.differs || (comparing() && cell.pub?.[2] === 2);
    const style = look.fill ? ` style="--fill:${look.fill};--on:${look.on}"` : "";
    const says = cell.says[GROUP[mode]] + published(cell);
    const classes = [look.kind ?? "scaled", differs ? "differs" : "", look.corner ? "corner" : "", look.faint ? "faint" : ""].filter(Boolean).join(" ");
    // numbers of one size
    const size = Math.min(15, (1.55 * side) / (look.fill ? 4 : Math.max(look.mark.length, 2)));
    let inside = size >= 8.5 ? `<b style="font-size:${size}px">${escape(look.mark)}</b>` : "";
    if (large) {
      const others = (look.others ?? []).map((text) => `<span class="other">${escape(text)}</span>`).join("");
      const theirs = differs && mode !== "difference" ? `<span class="other theirs">≠ ${escape(entry(cell).mark)}</span>` : "";
      inside = `<span class="head"><b>${escape(look.mark)}</b> <small>${escape(look.small)}</small></span>${others}${theirs}${spark(cell)}`;
    }
    const runs = large ? cell.m.filter((m) => data.members[m][12]).map((m) => `<a href="${escape(data.members[m][12])}" aria-label="own report, seed ${data.members[m][0]}">${data.members[m][0]}</a>`) : [];
    const button = `<button type="button" class="cell" data-cell="${nameOf(cell)}" aria-label="${escape(`${settings(cell)}: ${says}`)}" tabindex="-1">${inside}</button>`;
    return `<td id="${nameOf(cell)}" class="${classes}"${style}><div class="inside">${button}${runs.length ? `<span class="runs">${runs.join("")}</span>` : ""}</div></td>`;
  };

  // -- the table -------------------------------------------------------------------------------------------------
  const draw = () => {
    // a page may be read before it has a width; it is drawn once it has one
    const across = printing ? PAPER : grid.clientWidth;
    if (across < 40) return;
    places = new Map(cells().map((cell) => [cell.at.join(), cell]));
    const heads = data.y === null ? [["", "", ""]] : data.y.heads;
    const longest = Math.max(...heads.map(([text]) => text.length));
    const left = data.y === null ? 4 : Math.min(14 + 7.2 * longest, 150);
    const gap = large ? 3 : (across - left) / nx < 9 ? 0 : 1;
    const side = Math.max(3, Math.min(44, Math.floor((across - left - 8) / nx) - gap));
    const every = large ? 1 : Math.ceil(13 / (side + gap));
    const upright = !large && Math.max(...data.x.heads.map((t) => 7 * t.length)) > side - 2;
    const head = (text, i) => `<th scope="col"${upright ? ' class="upright"' : ""}><span>${i % every ? "" : escape(text)}</span></th>`;
    const corner = large && data.y !== null ? `${data.y.key} \\ ${data.x.key}`.replaceAll(".", ".\u200b") : "";
    const top = `<tr><td class="axis">${escape(corner)}</td>${data.x.heads.map(head).join("")}</tr>`;
    const grouped = heads.some((h) => h[2]);
    const lines = rows.map((row, i) => {
      const [text, name, group] = heads[row];
      const before = i > 0 ? heads[rows[i - 1]][2] : null;
      const title = grouped && group !== before ? `<tr class="group"><th scope="colgroup" colspan="${nx + 1}"><span>${escape(group || "other")}</span></th></tr>` : "";
      const th = `<th scope="row"${large || i % every === 0 ? "" : ' class="bare"'}>${large || i % every === 0 ? escape(text) : ""}${name && large ? `<small>${escape(name)}</small>` : ""}</th>`;
      const tds = data.x.heads.map((_, column) => {
        const cell = places.get(`${row},${column}`);
        return cell === undefined ? "<td></td>" : square(cell, side);
      });
      return `${title}<tr>${th}${tds.join("")}</tr>`;
    });
    const up = data.y === null ? "" : `, ${data.y.key} ${data.upwards ? "upwards" : "downwards"}`;
    const caption = large && !data.upwards ? "" : `${data.x.key} to the right${up}`;
    const edges = data.upwards ? `<tbody>${lines.join("")}</tbody><tfoot>${top}</tfoot>` : `<thead>${top}</thead><tbody>${lines.join("")}</tbody>`;
    grid.className = `scroll ${large ? "large" : "compact"}`;
    grid.style.setProperty("--side", `${side}px`);
    grid.innerHTML = `<table class="cells${data.y === null ? " strip" : ""}" style="border-spacing:${gap}px"><caption>${escape(caption)}</caption>${edges}</table>`;
    const first = shown !== null && places.has(shown.at.join()) ? shown : cells()[0];
    if (first) stop(buttonOf(first));
    mark();
  };
  const mark = () => {
    for (const chosen of grid.querySelectorAll(".chosen")) chosen.classList.remove("chosen");
    if (shown !== null) buttonOf(shown)?.classList.add("chosen");
  };

  // -- the legend ------------------------------------------------------------------------------------------------
  const swatch = (kind, inside, text, count) =>
    `<li><span class="swatch ${kind}" aria-hidden="true">${escape(inside)}</span>${escape(text)}${count === undefined ? "" : ` <strong>${count.toLocaleString("en")}</strong>`}</li>`;
  const phases = (counts) => [
    ...data.phases.filter(([name]) => counts[name] || name !== "undefined").map(([name, letter]) => swatch(name, letter, name, counts[name])),
    ...(counts["no majority"] ? [swatch("tied", "C/G", "no majority", counts["no majority"])] : []),
    ...(counts.pending ? [swatch("waiting", "", "pending", counts.pending)] : []),
  ];
  const VERDICTS = {
    grokked: ["✔", "generalised in every seed, median step"],
    some: ["k/n", "generalised in k of n seeds"],
    none: ["%", "none within the budget: best test accuracy"],
    undecided: ["so far", "undecided so far"],
    diverged: ["", "diverged"],
    failed: ["", "failed"],
    pending: ["", "pending"],
  };
  const verdicts = (counts) => Object.entries(VERDICTS).filter(([kind]) => counts[kind]).map(([kind, [inside, text]]) => swatch(kind, inside, text, counts[kind]));
  const scale = (low, high) => {
    const stops = RAMP.map((c) => `rgb(${c.join(",")})`).join(",");
    return `<li class="scale">${low}<span style="background:linear-gradient(to right,${stops})"></span>${high}</li>`;
  };
  const legend = () => {
    const s = data.slices[slice];
    let items = [];
    if (mode === "accuracy") items = [scale("0%", "100%")];
    else if (TIMES.includes(mode)) {
      const [low, high] = domains[mode].map((d) => Math.round(10 ** d).toLocaleString("en"));
      items = [scale(mode === "gap" && low === "1" ? "≤ 1" : low, `${high} steps`), swatch("late", "", "not reached by half of the seeds")];
    } else if (GROUP[mode] === 0) items = phases(mode === "phase" ? s.counts : {});
    else items = verdicts(mode === "verdict" ? s.verdicts : { grokked: undefined });
    if (mode === "published" && !data.byPhase) items = [swatch("grokked", "✔", "grokked"), swatch("none", "%", "did not: best test accuracy")];
    if (mode === "difference") items = [`<li>Where the two differ, published below the diagonal and this sweep above; cells that agree are faint.</li>`, ...(data.byPhase ? items : [])];
    if (comparing() && s.cells.some((c) => c.pub?.[2] === 2)) items.push(swatch("differs", "≠", "published otherwise"));
    if (large) items.push('<li><span class="key test" aria-hidden="true"></span>test accuracy</li>', '<li><span class="key train" aria-hidden="true"></span>training accuracy</li>');
    document.getElementById("legend").innerHTML = items.join("");
  };

  // -- the panel -------------------------------------------------------------------------------------------------
  const ticks = () => {
    const decades = [];
    for (let at = 1; at <= data.last; at *= 10) decades.push(at);
    const every = Math.ceil(decades.length / 5);
    const place = (at) => (100 * Math.log1p(at)) / Math.log1p(data.last);
    const below = decades
      .filter((_, i) => (decades.length - 1 - i) % every === 0)
      .map((at) => `<span class="tick" style="left:${place(at)}%;top:calc(100% + 5px);transform:translateX(-50%)">${short(at)}</span>`);
    const left = [0, 50, 100].map((at) => `<span class="tick" style="right:calc(100% + 5px);bottom:${at}%;transform:translateY(50%)">${at}%</span>`);
    const bar = `<span class="bar" style="bottom:${100 * data.threshold}%"></span>`;
    const title = `<span class="tick" style="left:50%;top:calc(100% + 22px);transform:translateX(-50%)">steps (log scale)</span>`;
    return [bar, ...below, ...left, title].join("");
  };
  // a capital once more training could not change it
  const letterOf = (name) => {
    const letter = data.phases.find(([p]) => name.startsWith(p))[1];
    return name.endsWith("so far") ? letter.toLowerCase() : letter;
  };
  const table = (members) => {
    const gap = (m) => (m[6] === null || m[7] === null ? null : m[7] - m[6]);
    const bar = `${+(100 * data.threshold).toPrecision(6)}%`;
    const lines = [
      ["outcome", (m) => escape(m[1])],
      ["Liu's phase", (m) => (m[2] === null ? "–" : `<abbr title="${escape(m[2])}">${escape(letterOf(m[2]))}</abbr>`)],
      ["steps", (m) => number(m[3])],
      ["memorised", (m) => number(m[4])],
      ["generalised", (m) => number(m[5])],
      [`training ${bar}`, (m) => number(m[6])],
      [`test ${bar}`, (m) => number(m[7])],
      ["gap", (m) => number(gap(m))],
      ["training, last", (m) => m[8] ?? "–"],
      ["test, last", (m) => m[9] ?? "–"],
      ["test, best", (m) => m[10] ?? "–"],
    ];
    const seed = (m) => (m[12] ? `<a href="${escape(m[12])}" aria-label="own report, seed ${m[0]}">${m[0]}</a>` : m[0]);
    const head = members.map((m) => `<th scope="col">${seed(m)}</th>`).join("");
    const body = lines.map(([name, of]) => `<tr><th scope="row">${name}</th>${members.map((m) => `<td>${of(m)}</td>`).join("")}</tr>`);
    return `<table><thead><tr><th scope="col">seed</th>${head}</tr></thead><tbody>${body.join("")}</tbody></table>`;
  };
  const asking = (cell, members) => {
    const parts = [...new Set(members.map((m) => m[11]).filter(Boolean))].map((r) => `<p>${escape(r)}</p>`);
    const there = members.filter((m) => m[12]);
    if (there.length) parts.push("<p>A seed's number opens the run's own report.</p>");
    if (there.length < members.filter((m) => m[3] !== null).length) {
      const quoted = /^[\w.,+-]+$/.test(cell.name) ? cell.name : `'${cell.name}'`;
      parts.push(`<p>For the runs' own reports:</p><pre tabindex="0" class="command"><code>${escape(`${data.command} --members ${quoted}`)}</code></pre>`);
    }
    return parts.join("");
  };
  const show = (cell) => {
    shown = cell;
    const members = cell.m.map((m) => data.members[m]);
    const [first, second] = GROUP[mode] === 0 ? cell.says : [...cell.says].reverse();
    document.getElementById("cell").textContent = settings(cell);
    document.getElementById("cell-says").textContent = `${upper(first)}${published(cell)}. ${upper(second)}.`;
    const drawn = spark(cell).replace('aria-hidden="true"', `role="img" aria-label="Accuracies of ${members.length} run${members.length === 1 ? "" : "s"} over log steps"`);
    document.getElementById("curves").innerHTML = `<div class="frame">${drawn}${ticks()}</div><p class="lines"><span class="key test"></span>test <span class="key train"></span>training accuracy</p>`;
    document.getElementById("seeds").innerHTML = table(members);
    document.getElementById("ask").innerHTML = asking(cell, members);
    document.getElementById("save-cell").hidden = false;
    mark();
  };
  // -- saving: drawn again in the light colours --------------------------------------------------------------------
  const FONT = "font-family='system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif'";
  const [INK, MUTED, FAINT] = data.light.ink;
  const text = (x, y, words, size = 13, more = "") => `<text x="${x}" y="${y}" font-size="${size}" ${more}>${escape(words)}</text>`;
  const box = (x, y, width, height, fill, more = "") => `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}" ${more}/>`;
  const filled = (kind) => (data.light[kind].length > 2 ? `url(#${kind})` : data.light[kind][0]);
  const lines = (cell, x, y, width, height, thick) =>
    cell.spark
      .map((d, i) => [d, data.light.lines[1 - i], i ? 1 : 0.5])
      .filter(([d]) => d)
      .map(([d, colour, opacity]) => `<path d="${d}" transform="translate(${x},${y}) scale(${width / 240},${height / 100})" fill="none" stroke="${colour}" stroke-opacity="${opacity}" stroke-width="${thick}" vector-effect="non-scaling-stroke" stroke-linejoin="round"/>`)
      .join("");
  const document_ = (width, height, parts) => {
    const stripes = Object.entries(data.light)
      .filter(([kind, colours]) => colours.length > 2 && kind !== "ink")
      .map(([kind, [fill, , stripe]]) => `<pattern id="${kind}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">${box(0, 0, 6, 6, fill)}${box(0, 0, 2, 6, stripe)}</pattern>`);
    const [w, h] = [Math.ceil(width), Math.ceil(height)];
    return { width: w, height: h, svg: `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" ${FONT} fill="${INK}"><defs>${stripes.join("")}</defs>${box(0, 0, w, h, "#ffffff")}${parts.join("")}</svg>` };
  };
  const cellPicture = (cell, x, y, width, height) => {
    const look = PAINT[mode](cell);
    const on = look.fill ? look.on : data.light[look.kind][1];
    const parts = [];
    const mine = look.differs ? own(cell) : look;
    const edge = mine.fill ? "" : `stroke="${FAINT}" stroke-width="0.5"`;
    parts.push(box(x, y, width, height, mine.fill ?? filled(mine.kind), edge));
    if (look.differs) parts.push(`<polygon points="${x},${y} ${x},${y + height} ${x + width},${y + height}" fill="${filled(entry(cell).kind)}"/>`);
    if (comparing() && cell.pub?.[2] === 2) parts.push(box(x + 1, y + 1, width - 2, height - 2, "none", `stroke="${INK}" stroke-width="2"`));
    if (look.corner) parts.push(`<polygon points="${x + width - 7},${y} ${x + width},${y} ${x + width},${y + 7}" fill="${look.differs ? INK : on}"/>`);
    const colour = look.differs ? INK : on;
    if (large) {
      parts.push(text(x + 6, y + 17, look.mark, 14, `font-weight="600" fill="${colour}"`));
      const after = look.mark ? 12 + 9.6 * look.mark.length : 6;
      look.small.split(", ").forEach((line, i) => parts.push(text(x + after, y + 17 + 14 * i, line, 11.5, `fill="${colour}"`)));
      if (!look.fill && !look.differs && mode !== "phase") parts.push(lines(cell, x + 5, y + 25, width - 10, height - 30, 1.2));
    } else if (look.mark) {
      const size = Math.min(13, (1.5 * width) / Math.max(look.mark.length, 2));
      parts.push(text(x + width / 2, y + height / 2 + size / 3, look.mark, size, `font-weight="600" text-anchor="middle" fill="${colour}"`));
    }
    return look.faint ? `<g opacity="0.3">${parts.join("")}</g>` : parts.join("");
  };
  const mapPicture = () => {
    const [width, height, gap] = large ? [124, 56, 3] : [28, 28, 1];
    const heads = data.y === null ? [["", "", ""]] : data.y.heads;
    const left = 24 + 7.5 * Math.max(...heads.map(([words]) => words.length), 2);
    const longest = Math.max(...data.x.heads.map((words) => words.length));
    const upright = 7.5 * longest > width;
    const room = 18 + (upright ? 7.5 * longest : 16);
    const title = document.querySelector("[name=mode]:checked").nextElementSibling.textContent;
    const parts = [text(12, 26, `${data.name}: ${title}`, 16, 'font-weight="600"')];
    const free = selects.map((s) => `${s.labels[0].firstChild.textContent.trim()} = ${s.selectedOptions[0].textContent}`);
    if (free.length) parts.push(text(12, 46, free.join(", "), 12.5, `fill="${MUTED}"`));
    const top = 44 + (free.length ? 20 : 0) + (data.upwards ? 0 : room);
    const place = (column) => left + column * (width + gap);
    rows.forEach((row, i) => {
      const y = top + i * (height + gap);
      parts.push(text(left - 8, y + height / 2 + 4, heads[row][0], 12.5, 'text-anchor="end"'));
      for (const cell of cells()) if (cell.at[0] === row) parts.push(cellPicture(cell, place(cell.at[1]), y, width, height));
    });
    const end = top + rows.length * (height + gap);
    data.x.heads.forEach((words, column) => {
      const x = place(column) + width / 2;
      const y = data.upwards ? end + 16 : top - 8;
      const turned = upright ? `text-anchor="${data.upwards ? "end" : "start"}" transform="rotate(-90 ${x} ${y})" dy="4"` : 'text-anchor="middle"';
      parts.push(text(x, y, words, 12.5, turned));
    });
    let y = end + (data.upwards ? room : 0) + 20;
    const up = data.y === null ? "" : `; ${data.y.key} ${data.upwards ? "upwards" : "downwards"}`;
    parts.push(text(12, y, `${data.x.key} to the right${up}`, 12.5, `fill="${MUTED}"`));
    const span = Math.max(place(nx) + 12, 560);
    let x = 12;
    y += 14;
    for (const item of document.querySelectorAll("#legend li")) {
      const swatched = item.querySelector(".swatch");
      const kind = swatched?.className.replace("swatch", "").trim();
      const count = item.querySelector("strong")?.textContent ?? "";
      const name = item.textContent.slice(swatched?.textContent.length ?? 0, count ? -count.length : undefined).trim();
      const words = count ? `${name}: ${count}` : name;
      const scaled = item.classList.contains("scale");
      const needed = 8 + 7.2 * words.length + (scaled ? 160 : 30) + 14;
      if (x + needed > span && x > 12) [x, y] = [12, y + 26];
      if (scaled) {
        const [low, high] = [item.firstChild.textContent, item.lastChild.textContent];
        const stops = RAMP.map((c, i) => `<stop offset="${i / (RAMP.length - 1)}" stop-color="rgb(${c.join(",")})"/>`).join("");
        parts.push(`<defs><linearGradient id="ramp">${stops}</linearGradient></defs>`, text(x, y + 15, low, 12.5), box(x + 10 + 7.5 * low.length, y + 5, 150, 12, "url(#ramp)"), text(x + 168 + 7.5 * low.length, y + 15, high, 12.5));
      } else {
        if (swatched && data.light[kind]) parts.push(box(x, y + 2, 24, 18, filled(kind), `stroke="${FAINT}"`), text(x + 12, y + 15, swatched.textContent.length > 3 ? "" : swatched.textContent, 11, `text-anchor="middle" fill="${data.light[kind][1]}"`));
        else if (kind === "differs") parts.push(box(x + 1, y + 3, 22, 16, "none", `stroke="${INK}" stroke-width="2"`));
        else if (item.querySelector(".key")) parts.push(box(x, y + 10, 24, 2, data.light.lines[item.querySelector(".train") ? 1 : 0]));
        parts.push(text(x + 30, y + 15, words, 12.5));
      }
      x += needed;
    }
    return document_(span, y + 36, parts);
  };
  const curvesPicture = () => {
    const [left, top, width, height] = [60, 58, 480, 260];
    const parts = [text(12, 26, settings(shown), 15, 'font-weight="600"')];
    const place = (at) => left + (width * Math.log1p(at)) / Math.log1p(data.last);
    for (const share of [0, 0.5, 1]) {
      const y = top + height * (1 - share);
      parts.push(box(left, y, width, 1, "#e4e7ec"), text(left - 8, y + 4, `${100 * share}%`, 12, `text-anchor="end" fill="${MUTED}"`));
    }
    for (let at = 1; at <= data.last; at *= 10) parts.push(box(place(at), top + height, 1, 5, FAINT), text(place(at), top + height + 20, short(at), 12, `text-anchor="middle" fill="${MUTED}"`));
    const bar = top + height * (1 - data.threshold);
    parts.push(`<line x1="${left}" x2="${left + width}" y1="${bar}" y2="${bar}" stroke="${FAINT}" stroke-dasharray="4 4"/>`, lines(shown, left, top, width, height, 1.8));
    ["test accuracy", "training accuracy"].forEach((words, i) => parts.push(box(left + 150 * i, 43, 22, 2, data.light.lines[i]), text(left + 150 * i + 28, 48, words, 12)));
    parts.push(text(left + width / 2, top + height + 42, "steps (log scale)", 12.5, `text-anchor="middle" fill="${MUTED}"`));
    return document_(left + width + 24, top + height + 58, parts);
  };
  const seedsCSV = () => {
    const names = ["seed", "outcome", "phase", "steps", "memorised_step", "grokked_step", "train_step", "test_step", "train_accuracy", "test_accuracy", "best_test_accuracy", "reason"];
    const quoted = (value) => (/[",\n\r]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : (value ?? ""));
    const members = shown.m.map((m) => data.members[m].slice(0, names.length).map(quoted).join());
    return `${names.join()}\n${members.join("\n")}\n`;
  };
  const saves = (id, picture, name) => {
    document.getElementById(`${id}-svg`).addEventListener("click", () => groklab.saveSVG(picture().svg, name()));
    document.getElementById(`${id}-png`).addEventListener("click", () => {
      const { svg, width, height } = picture();
      return groklab.savePNG(svg, width, height, name());
    });
  };
  saves("save", mapPicture, () => groklab.nameOf(data.name, mode));
  saves("cell", curvesPicture, () => groklab.nameOf(data.name, shown.name, "curves"));
  document.getElementById("cell-csv").addEventListener("click", () => groklab.saveCSV(seedsCSV(), groklab.nameOf(data.name, shown.name, "seeds")));

  const pin = (cell) => {
    pinned = pinned === cell ? null : cell;
    if (pinned !== null) show(pinned);
    panel.classList.toggle("pinned", pinned !== null);
    panel.classList.toggle("sheet", pinned !== null);
    if (pinned === null || !narrow.matches) return;
    // on a phone the panel must not hide the cell that was tapped
    const hidden = buttonOf(pinned).getBoundingClientRect().bottom - panel.getBoundingClientRect().top + 12;
    if (hidden > 0) window.scrollBy(0, hidden);
  };
  const letGo = () => pinned !== null && pin(pinned);

  // -- pointer and keyboard: one stop for the tab key, arrows between the cells ------------------------------------
  const stop = (button) => {
    for (const other of grid.querySelectorAll('.cell[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  };
  const cellOf = (node) => places.get(node?.closest?.(".cell")?.dataset.cell.split("-").slice(1).join());
  const neighbour = (cell, key) => {
    const order = rows.flatMap((row) => data.x.heads.map((_, column) => places.get(`${row},${column}`))).filter(Boolean);
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[key];
    if (step === undefined) return { Home: order[0], End: order[order.length - 1] }[key];
    const line = key === "ArrowLeft" || key === "ArrowRight" ? 0 : 1;
    const along = order.filter((other) => other.at[line] === cell.at[line]);
    return along[along.indexOf(cell) + step];
  };
  grid.addEventListener("pointerover", (e) => {
    const cell = cellOf(e.target);
    if (e.pointerType === "mouse" && pinned === null && cell && cell !== shown) show(cell);
  });
  grid.addEventListener("focusin", (e) => {
    const cell = cellOf(e.target);
    if (!cell) return;
    stop(buttonOf(cell));
    if (pinned === null) show(cell);
  });
  grid.addEventListener("click", (e) => {
    const cell = cellOf(e.target);
    if (cell) pin(cell);
  });
  grid.addEventListener("keydown", (e) => {
    const cell = cellOf(e.target);
    const keep = cell && (e.key === "Enter" || e.key === " ");
    const next = cell && neighbour(cell, e.key);
    if (!next && !keep) return;
    e.preventDefault();
    if (keep) return pin(cell);
    if (pinned !== null) letGo();
    buttonOf(next).focus();
    show(next);
  });
  document.addEventListener("keydown", (e) => e.key === "Escape" && letGo());
  document.getElementById("close").addEventListener("click", letGo);

  // -- slices, and the switch of colouring -------------------------------------------------------------------------
  const selects = [...document.querySelectorAll("select[data-free]")];
  const update = () => {
    for (const node of document.querySelectorAll("[data-slice]")) node.hidden = Number(node.dataset.slice) !== slice;
    const summary = mode === "published" || mode === "difference" ? "published" : ["phase", "verdict"][GROUP[mode]];
    for (const node of document.querySelectorAll("[data-summary]")) node.hidden = node.dataset.summary !== summary;
    draw();
    legend();
  };
  const choose = (number) => {
    slice = number;
    for (let i = selects.length - 1, rest = number; i >= 0; rest = Math.floor(rest / data.free[i--])) selects[i].value = String(rest % data.free[i]);
    shown = null;
    update();
  };
  for (const select of selects)
    select.addEventListener("change", () => {
      letGo();
      // the last setting varies fastest
      choose(selects.reduce((at, s, i) => at * data.free[i] + Number(s.value), 0));
    });
  for (const radio of document.querySelectorAll("[name=mode]")) {
    radio.checked = radio.value === mode;
    radio.addEventListener("change", () => {
      mode = radio.value;
      update();
      if (shown !== null) show(shown);
    });
  }
  // A run's own report links back to its cell.
  const arrive = () => {
    const match = /^#c(\d+)-(\d+)-(\d+)$/.exec(location.hash);
    if (!match || !data.slices[match[1]]) return;
    choose(Number(match[1]));
    const cell = places.get(`${match[2]},${match[3]}`);
    if (cell === undefined) return;
    buttonOf(cell).scrollIntoView({ block: "center", inline: "center" });
    show(cell);
  };
  window.addEventListener("hashchange", arrive);
  choose(0);
  arrive();
  // something to look at: a cell that grokked where there is one
  if (shown === null) {
    const first = cells().find((c) => data.verdicts[c.v] === "grokked") ?? cells().find((c) => c.lead.length) ?? cells()[0];
    if (first) show(first);
  }
  const print = (paper) => {
    printing = paper;
    draw();
    // headings, and columns of a hundred pixels
    grid.style.zoom = paper && large ? Math.min(1, PAPER / (130 + 100 * nx)) : "";
  };
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  let width = grid.clientWidth;
  new ResizeObserver(() => {
    if (width === grid.clientWidth) return;
    width = grid.clientWidth;
    draw();
  }).observe(grid);
  document.documentElement.setAttribute("data-drawn", "yes");
})();
