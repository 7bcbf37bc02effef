"use strict";
/* What all pages share: the table of contents that follows the reader, saving, and printing all there is. */
const groklab = (() => {
  // -- the table of contents ---------------------------------------------------------------------------------------
  const contents = document.getElementById("page-contents");
  const wide = window.matchMedia(document.body.classList.contains("contents-above") ? "not all" : "(min-width: 1180px)");
  const links = [...(contents?.querySelectorAll("a") ?? [])];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const follow = () => {
    let at = 0;
    headings.forEach((heading, i) => {
      if (heading && heading.getBoundingClientRect().top < 140) at = i;
    });
    const end = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2;
    if (end && window.scrollY > 0) at = links.length - 1;
    links.forEach((link, i) => (i === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    document.getElementById("page-here").textContent = links[at].textContent;
    const list = contents.parentElement;
    const { top, bottom } = links[at].getBoundingClientRect();
    const frame = list.getBoundingClientRect();
    if (wide.matches && (top < frame.top + 20 || bottom > frame.bottom - 20)) list.scrollTop += top - frame.top - frame.height / 3;
  };
  if (links.length) {
    const open = () => (contents.open = wide.matches);
    wide.addEventListener("change", open);
    open();
    let waiting = false;
    window.addEventListener(
      "scroll",
      () => {
        if (waiting) return;
        waiting = true;
        requestAnimationFrame(() => {
          waiting = false;
          follow();
        });
      },
      { passive: true },
    );
    for (const link of links) link.addEventListener("click", () => !wide.matches && (contents.open = false));
    follow();
  }

  // -- printing: nothing stays folded ------------------------------------------------------------------------------
  const folded = [];
  window.addEventListener("beforeprint", () => {
    for (const node of document.querySelectorAll("main details:not([open])")) {
      node.open = true;
      folded.push(node);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const node of folded.splice(0)) node.open = false;
  });

  // -- saving ------------------------------------------------------------------------------------------------------
  const plain = (text) => text.replace(/[^\p{L}\p{N}.,=@+-]+/gu, "-").replace(/^[-.]+|-+$/g, "").slice(0, 80) || "figure";
  const nameOf = (...parts) => parts.map((part) => plain(String(part))).join("-");
  const save = (content, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const saveSVG = (svg, name) => save(svg, "image/svg+xml", `${name}.svg`);
  /* A drawing of width × height pixels, three times as fine. */
  const savePNG = async (svg, width, height, name) => {
    const picture = new Image();
    picture.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 3 * width, height: 3 * height });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(picture.src);
    save(await new Promise((done) => canvas.toBlob(done)), "image/png", `${name}.png`);
  };
  const saveCSV = (csv, name) => save(csv, "text/csv", `${name}.csv`);
  /* What the page holds compressed. */
  const unpacked = (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  return { nameOf, saveSVG, savePNG, saveCSV, unpacked };
})();
