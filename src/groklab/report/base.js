/* What all pages share: the table of contents that follows the reader, and printing all there is. */
(() => {
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
})();
