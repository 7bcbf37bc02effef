"use strict";
// What the dashboard does in the browser alone: figures in the colours and at the checkpoint that are shown, the slider,
// and addresses that name what is seen.
(() => {
  // saving.js and figures.js come before this file, Dash after it
  const { scheme, narrow, words } = groklab;
  const unchanged = () => window.dash_clientside.no_update;

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

  // what is drawn, by the key of its place
  const pictures = new Map();
  document.addEventListener("click", ({ target }) => {
    const picture = pictures.get(target.dataset?.plot);
    if (picture && target.dataset.save) groklab.saveFigure(target.dataset.save, picture, picture.step);
  });

  window.dash_clientside ??= {};
  window.dash_clientside.groklab = {
    draw: (picture, step, _look, dark) => {
      const key = window.dash_clientside.callback_context.outputs_list.id.key;
      const controls = document.querySelector(`[data-plot="${key}"]`)?.closest(".controls");
      if (controls) controls.style.visibility = picture ? "" : "hidden";
      if (!picture) {
        pictures.delete(key);
        return { data: [], layout: { xaxis: { visible: false }, yaxis: { visible: false } } };
      }
      const shown = { ...picture, spec: read(picture.spec), step: step ?? null };
      pictures.set(key, shown);
      const { data, layout } = groklab.fitted(groklab.figureAt(shown.spec, shown.step), dark);
      return { data, layout: { ...layout, uirevision: "same" } };
    },

    scrub: (value, steps) => {
      if (value === null || value === undefined || !steps) return [unchanged(), unchanged()];
      const last = Number(value) === steps.length - 1;
      const step = steps[Number(value)];
      query({ step: last ? null : step });
      return [last ? null : step, words(step)];
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
