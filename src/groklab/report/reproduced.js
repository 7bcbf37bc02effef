(() => {
  // what the strips are drawn with, light on any page
  const STYLE = "text{font:13px system-ui,Segoe UI,Roboto,Helvetica,Arial,sans-serif;fill:#1d2129}.axis{stroke:#d9dde4;stroke-width:2}.bar{stroke:#1d2129;stroke-width:1.5;stroke-dasharray:3 2}.control{fill:none;stroke:#5c6470;stroke-width:1.5}.holds{fill:#0064a0;fill-opacity:.5}.fails{fill:#ffffff;stroke:#a11722;stroke-width:1.8}";
  const escape = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "13px system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif";
  const widest = (texts) => Math.max(...texts.map((text) => pen.measureText(text).width));
  const picture = (of) => {
    const cells = [...document.querySelectorAll(`td[data-of="${of}"]`)];
    const rows = cells.map((cell) => ({ name: cell.dataset.name, spread: cell.querySelector(".spread").textContent, strip: cell.querySelector("svg") }));
    const second = 32 + widest(rows.map((row) => row.name));
    const third = second + 24 + widest(rows.map((row) => row.spread));
    const lines = rows.map((row, i) => {
      const y = 12 + 34 * i;
      const texts = `<text x="12" y="${y + 18}">${escape(row.name)}</text><text x="${second}" y="${y + 18}">${escape(row.spread)}</text>`;
      return texts + (row.strip ? `<g transform="translate(${third},${y})">${new XMLSerializer().serializeToString(row.strip)}</g>` : "");
    });
    const [width, height] = [Math.ceil(third + 260), 24 + 34 * rows.length];
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><style>${STYLE}</style><rect width="${width}" height="${height}" fill="#ffffff"/>${lines.join("")}</svg>`;
    return { svg, width, height };
  };
  for (const group of document.querySelectorAll("[data-values]")) {
    const name = groklab.nameOf(document.title.split(",")[0], group.dataset.values);
    for (const button of group.querySelectorAll("button"))
      button.addEventListener("click", async () => {
        if (button.dataset.save === "csv") return groklab.saveCSV(await groklab.unpacked(document.getElementById(`${group.dataset.values}-data`).textContent), name);
        const { svg, width, height } = picture(group.dataset.values);
        return button.dataset.save === "svg" ? groklab.saveSVG(svg, name) : groklab.savePNG(svg, width, height, name);
      });
  }
})();
