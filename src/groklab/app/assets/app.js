"use strict";
// What the dashboard does in the browser alone: figures in the colours and at the checkpoint that are shown, the slider,
// and addresses that name what is seen.
(() => {
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  // this file comes before Dash
  const unchanged = () => window.dash_clientside.no_update;

  // Figures come in the light page's colours; each has its twin on the dark page.
  const coloured = (node, dark) => {
    if (typeof node === "string") return dark[node] ?? node;
    if (Array.isArray(node)) return node.map((inner) => coloured(inner, dark));
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value, dark)]));
  };

  const query = (changes) => {
    const address = new URL(window.location.href);
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === "") address.searchParams.delete(key);
      else address.searchParams.set(key, value);
    }
    // not a step of the history: one goes back to the page before, not to the letter before
    window.history.replaceState(window.history.state, "", address);
  };

  const parsed = new Map();
  const read = (text) => {
    if (!parsed.has(text)) {
      if (parsed.size > 60) parsed.clear();
      parsed.set(text, JSON.parse(text));
    }
    return parsed.get(text);
  };

  window.dash_clientside ??= {};
  window.dash_clientside.groklab = {
    draw: (text, step, _look, dark) => {
      if (!text) return { data: [], layout: { xaxis: { visible: false }, yaxis: { visible: false } } };
      const spec = read(text);
      const frames = spec.frames ?? [];
      let frame = frames.length ? frames[frames.length - 1] : null;
      if (frame && step !== null && step !== undefined) {
        frame = frames.findLast((one) => Number(one.name) <= step) ?? frames[0];
      }
      const data = spec.data.map((trace, i) => {
        const place = frame ? frame.traces.indexOf(i) : -1;
        return place < 0 ? trace : { ...trace, ...frame.data[place] };
      });
      const layout = { ...spec.layout, autosize: true, uirevision: "same" };
      if (narrow.matches) {
        layout.font = { ...layout.font, size: 12 };
        layout.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 60, 60), r: 8 };
        layout.dragmode = false; // a finger on a plot means to scroll the page
      }
      return scheme.matches ? { data: coloured(data, dark), layout: coloured(layout, dark) } : { data, layout };
    },

    scrub: (value, steps) => {
      if (value === null || value === undefined || !steps) return [unchanged(), unchanged()];
      const step = steps[Number(value)];
      query({ step: Number(value) === steps.length - 1 ? null : step });
      return [step, `step ${step.toLocaleString("en")}`];
    },

    play: (_clicks, _ticks, stopped, value, last) => {
      const by = window.dash_clientside.callback_context.triggered_id;
      const place = Number(value);
      if (by === "play") return stopped ? [false, "Pause", place >= last ? 0 : unchanged()] : [true, "Play", unchanged()];
      if (by !== "player" || stopped) return [unchanged(), unchanged(), unchanged()];
      return place + 1 >= last ? [true, "Play", last] : [unchanged(), unchanged(), place + 1];
    },

    keep: (words) => {
      if (words !== undefined) query({ q: words || null });
      return unchanged();
    },

    address: (address) => {
      if (address) window.history.replaceState(window.history.state, "", address);
      return unchanged();
    },

    named: (title) => {
      document.title = title ? `${title} · groklab` : "groklab";
      return unchanged();
    },
  };

  // -- what changes: a page asks often for a digest of what it shows, and for its content once that differs ----------
  let known = "";
  const watch = async () => {
    const page = document.getElementById("watch");
    const { of, tick, every } = page?.dataset ?? {};
    if (of && page.dataset.busy !== "yes") {
      const answer = await fetch(`/changes?${of}`).catch(() => null);
      document.getElementById("lost").hidden = answer !== null && answer.status !== 403;
      const digest = answer?.ok ? `${of} ${await answer.text()}` : known;
      if (digest !== known && page.isConnected && page.dataset.of === of) {
        known = digest;
        window.dash_clientside.set_props(tick, { data: digest });
      }
    }
    setTimeout(watch, Number(every ?? 200));
  };
  watch();

  const look = () => window.dash_clientside.set_props("look", { data: `${scheme.matches} ${narrow.matches}` });
  scheme.addEventListener("change", look);
  narrow.addEventListener("change", look);
})();
