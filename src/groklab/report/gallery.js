(() => {
  const filter = document.getElementById("filter");
  const cards = [...document.querySelectorAll(".cards > li")];
  const words = cards.map((card) => card.textContent.toLowerCase());
  const show = () => {
    const asked = filter.value.toLowerCase().split(/\s+/);
    cards.forEach((card, i) => (card.hidden = !asked.every((word) => words[i].includes(word))));
    const shown = cards.filter((card) => !card.hidden).length;
    document.getElementById("count").textContent = `${shown.toLocaleString("en")} of ${cards.length.toLocaleString("en")}`;
  };
  filter.addEventListener("input", show);
  filter.form.addEventListener("submit", (e) => e.preventDefault());
  filter.form.hidden = cards.length < 2;
  show();
})();
