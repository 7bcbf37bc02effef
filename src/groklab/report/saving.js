"use strict";
/* What saves pictures and numbers, on pages and in the dashboard. */
const groklab = (() => {
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
  /* What a page holds compressed, in base 64. */
  const unpacked = (text) => {
    const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  return { nameOf, saveSVG, savePNG, saveCSV, unpacked };
})();
