"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const grids = [...document.querySelectorAll(".grid")];
  const nx = data.x.labels.length;
  const ny = data.y === null ? 1 : data.y.labels.length;
  const narrow = window.matchMedia("(max-width: 900px)");
  // cividis: even steps of lightness for every kind of colour vision
  const RAMP = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
  let slice = 0;
  let chosen = null;
  let pinned = false;
  let sheet = false;

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const number = (value) => (value === null ? "–" : Math.round(value).toLocaleString("en"));
  const cells = () => data.slices[slice];
  let places = new Map();
  const index = () => {
    places = new Map(cells().map((cell) => [`${cell.c},${cell.r}`, cell]));
  };
  const cellAt = (place) => (place === null ? undefined : places.get(`${place.c},${place.r}`));

  // -- colour scales -------------------------------------------------------------------------------------------
  const shade = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
    const i = Math.min(Math.floor(at), RAMP.length - 2);
    const mixed = RAMP[i].map((v, k) => Math.round(v + (at - i) * (RAMP[i + 1][k] - v)));
    return `rgb(${mixed.join(",")})`;
  };
  // Training and test share one scale, so that their maps can be compared; a gap of no step stands at its lower end.
  const domain = (kinds) => {
    const seen = data.slices.flat().flatMap((cell) => kinds.map((k) => cell[k][0])).filter((v) => v !== null);
    const logs = seen.map((v) => Math.log10(Math.max(v, 1)));
    return logs.length ? [Math.min(...logs), Math.max(...logs)] : null;
  };
  const domains = { train: domain(["train", "test"]), gap: domain(["gap"]) };
  domains.test = domains.train;
  const shareOf = (kind, value) => {
    const [low, high] = domains[kind];
    return high > low ? (Math.log10(Math.max(value, 1)) - low) / (high - low) : 0.5;
  };

  // -- maps ----------------------------------------------------------------------------------------------------
  const PATTERNS = (id) => `<defs>
    <pattern id="hatch-${id}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect class="hatch-ground" width="6" height="6"/><line class="hatch-line" y2="6"/></pattern>
    <pattern id="undefined-${id}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect class="undefined-ground" width="7" height="7"/><line class="undefined-line" y2="7"/></pattern></defs>`;
  const width = (text) => 6.4 * text.length;

  const short = (text) => (text.length > 16 ? `${text.slice(0, 15)}…` : text);
  const yLabels = data.y === null ? [] : data.y.labels.map(short);
  const geometry = (grid) => {
    const room = grid.clientWidth - 2;
    const left = data.y === null ? 6 : 28 + Math.max(...yLabels.map(width));
    const side = Math.max(3, Math.min(52, Math.floor((room - left - 8) / nx)));
    const upright = Math.max(...data.x.labels.map(width)) > side - 3;
    const below = (upright ? Math.max(...data.x.labels.map(width)) : 12) + 30;
    // the name of the axis is written within the room there is, below the map as far as it can be
    const size = Math.min(12, (12 * room) / (7 * data.x.key.length));
    const half = (7 * data.x.key.length * size) / 24;
    const middle = Math.max(Math.min(left + (side * nx) / 2, room - half), half);
    const wide = Math.max(left + side * nx + 8, middle + half, 60);
    return { room, left, side, upright, below, size, middle, width: wide, height: side * ny + 2 + below };
  };

  const square = (x, y, side, attributes) => `<rect x="${x}" y="${y}" width="${side}" height="${side}" ${attributes}/>`;
  const corner = (x, y, side) => {
    const size = Math.max(3, Math.min(9, side * 0.28));
    return `<path class="corner" d="M${x + side - size} ${y}h${size}v${size}z"/>`;
  };
  const letter = (x, y, side, text, on) => {
    const size = Math.min(15, side * 0.55, side / (0.68 * text.length));
    if (size < 7) return "";
    return `<text class="letter ${on}" x="${x + side / 2}" y="${y + side / 2 + size * 0.36}" style="font-size:${size}px">${text}</text>`;
  };
  const fill = (phase, id) => (phase === 4 ? `fill="url(#undefined-${id})"` : "");
  const phaseSquare = (x, y, side, phase, id) =>
    square(x, y, side, `class="cell p${phase}" ${fill(phase, id)}`) + letter(x, y, side, data.phases[phase].letter, `on${phase}`);
  const own = (cell) => (cell.lead.length === 1 ? cell.lead[0] : null);

  const ownSquare = (cell, x, y, side, id) => {
    const done = cell.p.filter((p) => p !== null).length;
    if (!cell.lead.length) return square(x, y, side, 'class="none"');
    let drawn;
    if (cell.lead.length > 1) {
      const letters = cell.lead.map((p) => data.phases[p].letter).join("/");
      drawn = square(x, y, side, 'class="cell tied"') + letter(x, y, side, letters, "ontied");
    } else drawn = phaseSquare(x, y, side, cell.lead[0], id);
    const most = Math.max(...cell.lead.map((p) => cell.p.filter((q) => q === p).length));
    if (most === done) return drawn;
    if (side >= 34) {
      const on = cell.lead.length > 1 ? "ontied" : `on${cell.lead[0]}`;
      drawn += `<text class="share ${on}" x="${x + side - 3}" y="${y + side - 4}">${most}/${done}</text>`;
    }
    return drawn + corner(x, y, side);
  };

  const painters = {
    phase: ownSquare,
    published: (cell, x, y, side, id) =>
      cell.pub === undefined ? square(x, y, side, 'class="none"') : phaseSquare(x, y, side, cell.pub[0], id),
    differ: (cell, x, y, side, id) => {
      const mine = own(cell);
      if (cell.pub === undefined || mine === null) return square(x, y, side, 'class="none"');
      if (mine === cell.pub[0]) return square(x, y, side, `class="cell same p${mine}" ${fill(mine, id)}`);
      const half = (d, phase) => `<path class="p${phase}" ${fill(phase, id)} d="${d}"/>`;
      const small = side * 0.52;
      return (
        half(`M${x} ${y}v${side}h${side}z`, cell.pub[0]) +
        half(`M${x} ${y}h${side}v${side}z`, mine) +
        letter(x + side * 0.02, y + side * 0.47, small, data.phases[cell.pub[0]].letter, `on${cell.pub[0]}`) +
        letter(x + side * 0.46, y + side * 0.01, small, data.phases[mine].letter, `on${mine}`) +
        square(x, y, side, 'class="cell" fill="none"')
      );
    },
  };
  for (const kind of ["train", "test", "gap"]) {
    painters[kind] = (cell, x, y, side, id) => {
      const [median, reached, n] = cell[kind];
      if (!n) return square(x, y, side, 'class="none"');
      if (median === null) return square(x, y, side, `class="cell" fill="url(#hatch-${id})"`) + (reached ? corner(x, y, side) : "");
      const drawn = square(x, y, side, `class="cell" fill="${shade(shareOf(kind, median))}"`);
      return reached < n ? drawn + corner(x, y, side) : drawn;
    };
  }

  const axes = (g) => {
    const bottom = g.side * ny + 2;
    const parts = [];
    const every = Math.ceil(13 / g.side);
    data.x.labels.forEach((label, i) => {
      if (i % every) return;
      const x = g.left + (i + 0.5) * g.side;
      parts.push(
        g.upright
          ? `<text text-anchor="end" transform="translate(${x + 4} ${bottom + 6}) rotate(-90)">${escape(label)}</text>`
          : `<text text-anchor="middle" x="${x}" y="${bottom + 14}">${escape(label)}</text>`,
      );
    });
    parts.push(`<text class="key" text-anchor="middle" style="font-size:${g.size}px" x="${g.middle}" y="${bottom + g.below - 8}">${escape(data.x.key)}</text>`);
    if (data.y === null) return parts.join("");
    yLabels.forEach((label, i) => {
      if (i % every) return;
      parts.push(`<text text-anchor="end" x="${g.left - 6}" y="${1 + (ny - i - 0.5) * g.side + 4}">${escape(label)}</text>`);
    });
    parts.push(`<text class="key" text-anchor="middle" transform="translate(13 ${1 + (g.side * ny) / 2}) rotate(-90)">${escape(data.y.key)}</text>`);
    return parts.join("");
  };

  const scaleWidth = (g) => Math.min(Math.max(Math.min(g.side * nx, 300), 200), Math.max(g.room - g.left - 8, 60));
  const scale = (kind, g) => {
    if (domains[kind] === null || domains[kind] === undefined) return "";
    const [low, high] = domains[kind];
    const wide = scaleWidth(g);
    const top = g.height + 4;
    const bars = Array.from({ length: 40 }, (_, i) => {
      const share = high > low ? i / 39 : 0.5;
      return `<rect x="${g.left + (i * wide) / 40}" y="${top}" width="${wide / 40 + 0.5}" height="10" fill="${shade(share)}"/>`;
    });
    const at = (d) => (high > low ? ((d - low) / (high - low)) * wide : wide / 2);
    // both ends, and the decades that keep clear of them
    const named = high > low ? [[low, "start"], [high, "end"]] : [[low, "middle"]];
    for (let d = Math.ceil(low); d <= high; d++) if (high > low && at(d) > 60 && at(d) < wide - 60) named.push([d, "middle"]);
    const texts = named.map(([d, anchor]) => {
      const below = kind === "gap" && d === 0 && anchor === "start" ? "≤ 1" : number(10 ** d);
      return `<text text-anchor="${anchor}" x="${g.left + at(d)}" y="${top + 24}">${below}</text>`;
    });
    return bars.join("") + texts.join("");
  };

  const draw = (grid) => {
    const kind = grid.dataset.map;
    // a page may be read before it has a width; it is drawn once it has one
    if (grid.clientWidth < 40) return;
    const g = geometry(grid);
    grid.geometry = g;
    const paint = painters[kind];
    const drawn = cells().map((cell) => paint(cell, g.left + cell.c * g.side, 1 + (ny - 1 - cell.r) * g.side, g.side, kind));
    const more = kind in domains ? 34 : 0;
    const ends = kind in domains ? Math.max(g.width, g.left + scaleWidth(g) + 8) : g.width;
    grid.innerHTML = `<svg width="${ends}" height="${g.height + more}" style="--gap:${g.side < 8 ? 0.25 : g.side < 14 ? 0.6 : 1}px" aria-hidden="true">${PATTERNS(kind)}${drawn.join("")}${axes(g)}${more ? scale(kind, g) : ""}<g class="mark"></g></svg>`;
    mark(grid);
  };
  const mark = (grid) => {
    const g = grid.geometry;
    if (g === undefined) return;
    const box = chosen && `x="${g.left + chosen.c * g.side}" y="${1 + (ny - 1 - chosen.r) * g.side}" width="${g.side}" height="${g.side}" rx="1"`;
    grid.querySelector(".mark").innerHTML = chosen ? `<rect class="chosen" ${box}/><rect class="chosen" ${box}/>` : "";
  };

  // -- the panel -----------------------------------------------------------------------------------------------
  const settings = (place) => {
    const x = `${data.x.key} ${data.x.labels[place.c]}`;
    return data.y === null ? x : `${x}, ${data.y.key} ${data.y.labels[place.r]}`;
  };
  const sentence = (cell) => {
    if (cell === undefined) return "The sweep has no run here.";
    const done = cell.p.filter((p) => p !== null);
    if (!done.length) return "No run of this cell is trained yet.";
    const count = (phase) => done.filter((p) => p === phase).length;
    const names = cell.lead.map((p) => data.phases[p].name);
    const seeds = done.length > 1 ? ` (${count(cell.lead[0])} of ${done.length} seeds${names.length > 1 ? " each" : ""})` : "";
    let said = names.length > 1 ? `No majority: ${names.join(" and ")}${seeds}.` : `${names[0][0].toUpperCase()}${names[0].slice(1)}${seeds}.`;
    if (done.length < cell.p.length) said += ` ${cell.p.length - done.length} still to be trained.`;
    cell.m.forEach((m, i) => {
      if (data.reasons[m]) said += ` Seed ${cell.s[i]}: ${data.reasons[m].replace(/^undefined: /, "")}.`;
    });
    if (cell.pub !== undefined) {
      const [phase, train, test] = cell.pub;
      const reached = (step) => (step === null ? "not reached" : number(step));
      said += ` Published: ${data.phases[phase].name} (training ${reached(train)}, test ${reached(test)}).`;
    }
    return said;
  };

  const curves = (cell) => {
    const shown = cell.m.map((m) => data.curves[m]).filter((c) => c !== undefined && c[0].length);
    if (!shown.length) return "";
    const [W, H, left, right, top, bottom] = [336, 230, 38, 14, 26, 34];
    const positive = shown.flatMap((c) => c[0].filter((s) => s > 0));
    const begins = positive.length ? Math.min(...positive) : 1;
    // step 0 has no place on a logarithmic axis: it stands a little before the first one
    const zero = shown.some((c) => c[0][0] === 0);
    const first = zero ? begins / 2 : begins;
    const last = Math.max(begins * 10, ...positive);
    const x = (step) => left + ((W - left - right) * Math.log(Math.max(step, first) / first)) / Math.log(last / first);
    const y = (thousandth) => top + (H - top - bottom) * (1 - thousandth / 1000);
    const line = (steps, values) => {
      let path = "";
      let pen = "M";
      values.forEach((v, i) => {
        if (v === null) return void (pen = "M");
        path += `${pen}${x(steps[i]).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = "L";
      });
      return path;
    };
    const parts = [];
    for (const v of [0, 500, 1000]) {
      parts.push(`<line class="axis" x1="${left}" x2="${W - right}" y1="${y(v)}" y2="${y(v)}"/><text text-anchor="end" x="${left - 5}" y="${y(v) + 4}">${v / 10}%</text>`);
    }
    if (zero) parts.push(`<text text-anchor="middle" x="${left}" y="${y(0) + 16}">0</text>`);
    for (let d = Math.ceil(Math.log10(begins)); 10 ** d <= last * 1.0001; d++) {
      parts.push(`<line class="axis" x1="${x(10 ** d)}" x2="${x(10 ** d)}" y1="${y(0)}" y2="${y(0) + 4}"/><text text-anchor="middle" x="${x(10 ** d)}" y="${y(0) + 16}">${d < 3 ? 10 ** d : `1e${d}`}</text>`);
    }
    parts.push(`<text text-anchor="middle" x="${(left + W - right) / 2}" y="${H - 3}">step</text>`);
    const bar = y(1000 * data.threshold);
    parts.push(`<line class="bar" x1="${left}" x2="${W - right}" y1="${bar}" y2="${bar}"/>`);
    const faint = shown.length > 1 ? Math.max(0.25, 0.85 - 0.06 * shown.length) : 1;
    for (const [i, name] of [[1, "train"], [2, "test"]]) {
      for (const c of shown) parts.push(`<path class="${name}" stroke-opacity="${faint}" d="${line(c[0], c[i])}"/>`);
    }
    parts.push(`<text class="named train" x="${left}" y="13">training accuracy (dashed)</text><text class="named test" x="${left + 160}" y="13">test accuracy</text>`);
    return `<svg viewBox="0 0 ${W} ${H}" role="img" aria-label="Accuracies of ${shown.length} run${shown.length > 1 ? "s" : ""} against log step">${parts.join("")}</svg>`;
  };

  const table = (cell) => {
    const rows = cell.m.map((m, i) => {
      const [train, test] = data.steps[m] ?? [null, null];
      const gap = train === null || test === null ? null : test - train;
      const phase = cell.p[i] === null ? "pending" : data.phases[cell.p[i]].name;
      return `<tr><td>${cell.s[i]}</td><td>${phase}</td><td>${number(train)}</td><td>${number(test)}</td><td>${number(gap)}</td></tr>`;
    });
    return `<table><thead><tr><th scope="col">seed</th><th scope="col">phase</th><th scope="col">training</th><th scope="col">test</th><th scope="col">gap</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
  };

  const tell = () => {
    const cell = cellAt(chosen);
    panel.classList.toggle("pinned", pinned);
    panel.classList.toggle("sheet", sheet && narrow.matches);
    document.getElementById("cell").textContent = chosen === null ? "No cell is chosen" : settings(chosen);
    document.getElementById("cell-says").textContent = chosen === null ? "" : sentence(cell);
    document.getElementById("curves").innerHTML = cell === undefined ? "" : curves(cell);
    document.getElementById("seeds").innerHTML = cell === undefined ? "" : table(cell);
  };
  const choose = (place) => {
    if (place !== null && chosen !== null && place.c === chosen.c && place.r === chosen.r) return;
    chosen = place;
    grids.forEach(mark);
    tell();
  };

  // -- pointer and keyboard ------------------------------------------------------------------------------------
  const under = (grid, event) => {
    const g = grid.geometry;
    if (g === undefined) return null;
    const box = grid.querySelector("svg").getBoundingClientRect();
    const c = Math.floor((event.clientX - box.left - g.left) / g.side);
    const r = ny - 1 - Math.floor((event.clientY - box.top - 1) / g.side);
    return c >= 0 && c < nx && r >= 0 && r < ny ? { c, r } : null;
  };
  // on a phone the panel must not hide the cell that was tapped
  const uncover = (y) => {
    const hidden = y + 40 - (window.innerHeight - panel.offsetHeight);
    if (hidden > 0) window.scrollBy({ top: hidden });
  };
  for (const grid of grids) {
    grid.addEventListener("pointermove", (event) => {
      const place = under(grid, event);
      if (!pinned && place !== null && event.pointerType === "mouse") choose(place);
    });
    grid.addEventListener("click", (event) => {
      const place = under(grid, event);
      if (place === null) return;
      const again = pinned && chosen !== null && place.c === chosen.c && place.r === chosen.r;
      pinned = !again;
      sheet = pinned;
      choose(place);
      tell();
      if (sheet && narrow.matches) uncover(event.clientY);
    });
    grid.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-nx, 0], End: [nx, 0] }[event.key];
      if (move) {
        const from = chosen ?? { c: 0, r: 0 };
        const within = (value, n) => Math.min(Math.max(value, 0), n - 1);
        choose({ c: within(from.c + move[0], nx), r: within(from.r + move[1], ny) });
      } else if (event.key === "Enter" || event.key === " ") pinned = sheet = !pinned;
      else if (event.key === "Escape") pinned = sheet = false;
      else return;
      event.preventDefault();
      tell();
    });
  }
  document.getElementById("close").addEventListener("click", () => {
    pinned = sheet = false;
    tell();
  });

  const selects = [...document.querySelectorAll("select[data-free]")];
  const show = () => {
    // the last setting varies fastest
    slice = selects.reduce((found, s, i) => found * data.free[i] + Number(s.value), 0);
    for (const node of document.querySelectorAll("[data-slice]")) node.hidden = Number(node.dataset.slice) !== slice;
    index();
    grids.forEach(draw);
    tell();
  };
  selects.forEach((s) => s.addEventListener("change", show));

  index();
  // something to look at: a grokking cell where there is one
  const first = cells().find((cell) => own(cell) === 1) ?? cells().find((cell) => cell.lead.length);
  if (first) chosen = { c: first.c, r: first.r };
  show();
  const widths = new Map(grids.map((grid) => [grid, grid.geometry === undefined ? 0 : grid.clientWidth]));
  const resized = new ResizeObserver(() => {
    for (const grid of grids) {
      if (widths.get(grid) === grid.clientWidth) continue;
      widths.set(grid, grid.clientWidth);
      draw(grid);
    }
  });
  grids.forEach((grid) => resized.observe(grid));
  narrow.addEventListener("change", tell);
  document.documentElement.setAttribute("data-drawn", "yes");
})();
