"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = read("dark-colours");
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const config = { displayModeBar: false, displaylogo: false };
  const pictures = new Map();

  // The figures come in the light page's colours; each has its twin on the dark page.
  const coloured = (node) => {
    if (typeof node === "string") return dark[node] ?? node;
    if (Array.isArray(node)) return node.map(coloured);
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value)]));
  };

  const draw = (key) => {
    const { spec, frame } = pictures.get(key);
    const changes = frame === null ? null : spec.frames[frame];
    const data = spec.data.map((trace, i) => {
      const place = changes === null ? -1 : changes.traces.indexOf(i);
      return place < 0 ? trace : { ...trace, ...changes.data[place] };
    });
    const layout = { ...spec.layout, autosize: true };
    if (narrow.matches) {
      layout.font = { ...layout.font, size: 12 };
      layout.margin = { ...layout.margin, l: Math.min(layout.margin.l, 60), r: 8 };
      layout.dragmode = false; // a finger on a plot means to scroll the page
    }
    const drawn = scheme.matches ? { data: coloured(data), layout: coloured(layout) } : { data, layout };
    return Plotly.react(key, drawn.data, drawn.layout, config);
  };
  const drawAll = () => Promise.all([...pictures.keys()].map(draw));

  for (const node of document.querySelectorAll(".plot")) {
    const spec = read(`${node.id}-spec`);
    const frames = spec.frames ?? [];
    pictures.set(node.id, { spec, frame: frames.length ? frames.length - 1 : null });
  }

  const show = (slider) => {
    const picture = pictures.get(slider.dataset.plot);
    picture.frame = Number(slider.value);
    const words = `step ${Number(picture.spec.frames[picture.frame].name).toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", words);
    slider.parentElement.querySelector("output").textContent = words;
    if (picture.waiting) return;
    picture.waiting = true;
    requestAnimationFrame(() => {
      picture.waiting = false;
      draw(slider.dataset.plot);
    });
  };
  for (const slider of document.querySelectorAll("input[type=range]")) {
    // browsers keep a slider's place over a reload; the page starts at the last checkpoint
    slider.value = slider.max;
    slider.addEventListener("input", () => show(slider));
  }

  for (const button of document.querySelectorAll(".play")) {
    const slider = document.getElementById(`${button.dataset.plot}-slider`);
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    slider.addEventListener("pointerdown", stop);
    slider.addEventListener("keydown", stop);
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (slider.value === slider.max) slider.value = slider.min;
      show(slider);
      button.textContent = "Pause";
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        show(slider);
        if (slider.value === slider.max) stop();
      }, 250);
    });
  }

  for (const button of document.querySelectorAll(".save")) {
    const key = button.dataset.plot;
    button.addEventListener("click", () => {
      const { clientWidth: width, clientHeight: height } = document.getElementById(key);
      Plotly.downloadImage(key, { format: "svg", width, height, filename: `${document.title.split(" ")[0]}-${key}` });
    });
  }

  // Plotly follows the window's size only; a plot's own may change without it.
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.classList.contains("js-plotly-plot")) Plotly.Plots.resize(target);
  });
  scheme.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  drawAll().then(() => {
    for (const key of pictures.keys()) resized.observe(document.getElementById(key));
    // where Plotly measures its texts is not for those who listen
    document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
    document.documentElement.setAttribute("data-drawn", "yes");
  });
})();
