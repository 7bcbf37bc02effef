(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = read("dark-colours");
  const { scheme, narrow, config, words, figureAt } = groklab;
  // on paper: as wide as the text on A4 and on letter, not higher than a page with its heading, in smaller letters
  const PAPER = { width: 680, height: 780, zoom: 0.75 };
  const pictures = new Map();

  // -- one checkpoint for all figures ------------------------------------------------------------------------------
  const slider = document.getElementById("page-checkpoint");
  const steps = slider ? slider.dataset.steps.split(",").map(Number) : [];
  let step = null;

  const draw = (key) => {
    const picture = pictures.get(key);
    picture.stale = false;
    const { data, layout } = groklab.fitted(figureAt(picture.spec, step), dark);
    return Plotly.react(key, data, layout, config);
  };
  const drawAll = () => Promise.all([...pictures.keys()].map(draw));

  for (const node of document.querySelectorAll(".plot")) {
    const spec = read(`${node.id}-spec`);
    const csv = document.getElementById(`${node.id}-data`)?.textContent;
    const size = node.dataset.size.split(",").map(Number);
    pictures.set(node.id, { name: node.id, spec, csv, size, stale: false, seen: false });
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
      const caption = document.getElementById(`${key}-at`);
      if (caption) caption.textContent = words(Number(groklab.frameAt(picture.spec, step).name));
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

  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => groklab.saveFigure(button.dataset.save, pictures.get(button.dataset.plot), step));
  }

  // -- printing: light, and as wide as paper -----------------------------------------------------------------------
  window.addEventListener("beforeprint", () => {
    for (const [key, picture] of pictures) {
      const { data, layout } = figureAt(picture.spec, step);
      const [own, height] = picture.size;
      const node = document.getElementById(key);
      const fixed = node.classList.contains("proportional");
      const zoom = Math.min(PAPER.zoom, PAPER.height / height, fixed ? PAPER.width / own : 1);
      const width = fixed ? own : PAPER.width / zoom;
      node.style.zoom = zoom;
      Plotly.react(node, data, { ...layout, width, height, autosize: false }, config);
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
