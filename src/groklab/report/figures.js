/* What draws and saves figures, on pages and in the dashboard. */
Object.assign(groklab, (() => {
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const { nameOf, saveCSV, unpacked } = groklab;
  const config = { displayModeBar: false, displaylogo: false };

  // -- drawing -----------------------------------------------------------------------------------------------------
  /* Figures come in the light page's colours; each has its twin on the dark page. */
  const coloured = (node, dark) => {
    if (typeof node === "string") return dark[node] ?? node;
    if (Array.isArray(node)) return node.map((inner) => coloured(inner, dark));
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value, dark)]));
  };
  const words = (step) => `step ${step.toLocaleString("en")}`;
  /* The frame at a step, or at the last where it is null; a figure without this checkpoint shows the one before it. */
  const frameAt = ({ frames }, step) => {
    if (!frames?.length) return null;
    return (step === null ? frames.at(-1) : frames.findLast((frame) => Number(frame.name) <= step)) ?? frames[0];
  };
  // figures over the steps mark the checkpoint, once it is not the last
  const marked = (layout, step) => {
    const titles = Object.entries(layout).flatMap(([name, axis]) => (name.startsWith("xaxis") && axis.title?.text ? [axis.title.text] : []));
    const overSteps = titles.length && titles.every((title) => /\bstep\b/.test(title));
    if (step === null || !overSteps || (layout.xaxis.type === "log" && step < 1)) return layout;
    const line = { type: "line", x0: step, x1: step, xref: "x", y0: 0, y1: 1, yref: "paper", line: { color: layout.font.color, width: 1.5 } };
    return { ...layout, shapes: [...(layout.shapes ?? []), line] };
  };
  /* A figure at a checkpoint, in the light colours. */
  const figureAt = (spec, step) => {
    const frame = frameAt(spec, step);
    const data = spec.data.map((trace, i) => {
      const place = frame === null ? -1 : frame.traces.indexOf(i);
      return place < 0 ? trace : { ...trace, ...frame.data[place] };
    });
    return { data, layout: frame === null ? marked(spec.layout, step) : spec.layout };
  };
  /* The same in the colours and for the width of the window. */
  const fitted = ({ data, layout }, dark) => {
    const fits = { ...layout, autosize: true };
    if (narrow.matches) {
      fits.font = { ...layout.font, size: 12 };
      fits.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 60, 60), r: 8 };
      fits.dragmode = false; // a finger on a plot means to scroll the page
    }
    return scheme.matches ? { data: coloured(data, dark), layout: coloured(fits, dark) } : { data, layout: fits };
  };

  // -- saving ------------------------------------------------------------------------------------------------------
  /* A figure at a checkpoint as SVG or PNG, always in the light colours and at its own size, or its numbers as CSV. */
  const saveFigure = async (format, { name, spec, csv, size: [width, height] }, step) => {
    const title = document.querySelector("h1").textContent;
    if (format === "csv") return saveCSV(await unpacked(csv), nameOf(title, name));
    const { data, layout } = figureAt(spec, step);
    const light = { data, layout: { ...layout, width, height, autosize: false, paper_bgcolor: "#ffffff" }, config };
    const at = spec.frames?.length > 1 ? [frameAt(spec, step).name] : [];
    return Plotly.downloadImage(light, { format, width, height, scale: format === "png" ? 3 : 1, filename: nameOf(title, name, ...at) });
  };

  return { scheme, narrow, config, words, frameAt, figureAt, fitted, saveFigure };
})());
