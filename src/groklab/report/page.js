(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = read("dark-colours");
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const config = { displayModeBar: false, displaylogo: false };
  // on paper: as wide as the text on A4 and on letter, not higher than a page with its heading, in smaller letters
  const PAPER = { width: 680, height: 780, zoom: 0.75 };
  const pictures = new Map();

  // The figures come in the light page's colours; each has its twin on the dark page.
  const coloured = (node) => {
    if (typeof node === "string") return dark[node] ?? node;
    if (Array.isArray(node)) return node.map(coloured);
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value)]));
  };

  // -- one checkpoint for all figures ------------------------------------------------------------------------------
  const slider = document.getElementById("page-checkpoint");
  const steps = slider ? slider.dataset.steps.split(",").map(Number) : [];
  const words = (step) => `step ${step.toLocaleString("en")}`;
  // a figure without this checkpoint shows the one before it
  const frameAt = (picture, step) => Math.max(0, picture.steps.findLastIndex((own) => own <= step));
  // figures over the steps mark the checkpoint, once it is not the last
  const marked = (layout, step) => {
    const titles = Object.entries(layout).flatMap(([name, axis]) => (name.startsWith("xaxis") && axis.title?.text ? [axis.title.text] : []));
    const overSteps = titles.length && titles.every((title) => /\bstep\b/.test(title));
    if (step === null || !overSteps || (layout.xaxis.type === "log" && step < 1)) return layout;
    const line = { type: "line", x0: step, x1: step, xref: "x", y0: 0, y1: 1, yref: "paper", line: { color: layout.font.color, width: 1.5 } };
    return { ...layout, shapes: [...(layout.shapes ?? []), line] };
  };
  let step = null;

  const figureOf = (key) => {
    const { spec, frame } = pictures.get(key);
    const changes = frame === null ? null : spec.frames[frame];
    const data = spec.data.map((trace, i) => {
      const place = changes === null ? -1 : changes.traces.indexOf(i);
      return place < 0 ? trace : { ...trace, ...changes.data[place] };
    });
    return { data, layout: frame === null ? marked(spec.layout, step) : spec.layout };
  };
  const draw = (key) => {
    pictures.get(key).stale = false;
    const { data, layout } = figureOf(key);
    const fitted = { ...layout, autosize: true };
    if (narrow.matches) {
      fitted.font = { ...layout.font, size: 12 };
      fitted.margin = { ...layout.margin, l: Math.min(layout.margin.l, 60), r: 8 };
      fitted.dragmode = false; // a finger on a plot means to scroll the page
    }
    const drawn = scheme.matches ? { data: coloured(data), layout: coloured(fitted) } : { data, layout: fitted };
    return Plotly.react(key, drawn.data, drawn.layout, config);
  };
  const drawAll = () => Promise.all([...pictures.keys()].map(draw));

  for (const node of document.querySelectorAll(".plot")) {
    const spec = read(`${node.id}-spec`);
    const own = (spec.frames ?? []).map((frame) => Number(frame.name));
    const [width, height] = node.dataset.size.split(",").map(Number);
    pictures.set(node.id, { spec, steps: own, frame: own.length ? own.length - 1 : null, width, height, stale: false, seen: false });
  }

  let waiting = false;
  const drawSeen = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      for (const [key, picture] of pictures) if (picture.seen && picture.stale) draw(key);
    });
  };
  // moving is quick as only what is in sight is drawn at once
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) pictures.get(target.id).seen = isIntersecting;
    drawSeen();
  });
  const show = () => {
    const at = steps[Number(slider.value)];
    step = slider.value === slider.max ? null : at;
    slider.setAttribute("aria-valuetext", words(at));
    document.getElementById("page-step").textContent = words(at);
    for (const [key, picture] of pictures) {
      picture.stale = true;
      if (picture.frame === null) continue;
      picture.frame = frameAt(picture, at);
      const caption = document.getElementById(`${key}-at`);
      if (caption) caption.textContent = words(picture.steps[picture.frame]);
    }
    drawSeen();
  };
  if (slider) {
    // browsers keep a slider's place over a reload; the page starts at the last checkpoint
    slider.value = slider.max;
    slider.addEventListener("input", show);
    const play = document.getElementById("page-play");
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    };
    slider.addEventListener("pointerdown", stop);
    slider.addEventListener("keydown", stop);
    play.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (slider.value === slider.max) slider.value = slider.min;
      show();
      play.textContent = "Pause";
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        show();
        if (slider.value === slider.max) stop();
      }, 250);
    });
  }

  // -- saving: always in the light colours, at the figure's own size -----------------------------------------------
  for (const button of document.querySelectorAll("[data-save]")) {
    const key = button.dataset.plot;
    button.addEventListener("click", async () => {
      const { width, height, frame, steps: own } = pictures.get(key);
      const name = groklab.nameOf(document.querySelector("h1").textContent, key, ...(own.length > 1 ? [own[frame]] : []));
      const format = button.dataset.save;
      if (format === "csv") return groklab.saveCSV(await groklab.unpacked(`${key}-data`), groklab.nameOf(document.querySelector("h1").textContent, key));
      const { data, layout } = figureOf(key);
      const light = { data, layout: { ...layout, width, height, autosize: false, paper_bgcolor: "#ffffff" }, config };
      return Plotly.downloadImage(light, { format, width, height, scale: format === "png" ? 3 : 1, filename: name });
    });
  }

  // -- printing: light, and as wide as paper -----------------------------------------------------------------------
  window.addEventListener("beforeprint", () => {
    for (const [key, picture] of pictures) {
      const { data, layout } = figureOf(key);
      const node = document.getElementById(key);
      const fixed = node.classList.contains("proportional");
      const zoom = Math.min(PAPER.zoom, PAPER.height / picture.height, fixed ? PAPER.width / picture.width : 1);
      const width = fixed ? picture.width : PAPER.width / zoom;
      node.style.zoom = zoom;
      Plotly.react(node, data, { ...layout, width, height: picture.height, autosize: false }, config);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const key of pictures.keys()) document.getElementById(key).style.zoom = "";
    return drawAll();
  });

  // Plotly follows the window's size only; a plot's own may change without it.
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.classList.contains("js-plotly-plot")) Plotly.Plots.resize(target);
  });
  scheme.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  drawAll().then(() => {
    for (const key of pictures.keys()) {
      resized.observe(document.getElementById(key));
      sight.observe(document.getElementById(key));
    }
    // where Plotly measures its texts is not for those who listen
    document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
    document.documentElement.setAttribute("data-drawn", "yes");
  });
})();
