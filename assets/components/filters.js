/* The sliders of what turns logits into a distribution. Goes with sampling.css, after sampling.js.

   filters.FILTERS       temperature, top_k, top_p, min_p: {name, title, says, steps, off, write(value)}
   filters.OFF           the setting that changes nothing
   filters.slider(filter, current, {moved, settled}) -> {row, show()}   a labelled range that writes current[filter.name];
                         moved() at every step of a drag, settled() when it is let go; show() reads `current` anew
   filters.element(tag, className, text), filters.count(49152) -> "49 152" */
const filters = (() => {
  const count = (n) => n.toLocaleString("en");
  const FILTERS = [
    { name: "temperature", title: "Temperature T", says: "divides every logit", steps: sampling.TEMPERATURES, off: 1,
      write: (v) => (v === 0 ? "0 · greedy" : sampling.said(v)) },
    { name: "top_k", title: "Top-k", says: "keeps the k most probable", steps: sampling.TOP_KS, off: null,
      write: (v) => (v === null ? "off" : count(v)) },
    { name: "top_p", title: "Top-p", says: "keeps the fewest that hold p", steps: sampling.TOP_PS, off: null,
      write: (v) => (v === null ? "off" : String(v)) },
    { name: "min_p", title: "Min-p", says: "keeps p ≥ min-p × largest", steps: sampling.MIN_PS, off: null,
      write: (v) => (v === null ? "off" : String(v)) },
  ];
  const OFF = Object.fromEntries(FILTERS.map((f) => [f.name, f.off]));


  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function slider(filter, current, { moved, settled }) {
    const row = element("label", "slider"), head = element("span", "head"), input = element("input");
    const output = element("output", "value");
    input.type = "range";
    input.min = 0;
    input.max = filter.steps.length - 1;
    input.step = 1;
    input.dataset.name = filter.name;
    input.setAttribute("aria-label", `${filter.title}: ${filter.says}`);
    head.append(element("span", "title", filter.title), output);
    row.append(head, input, element("span", "says", filter.says));
    input.addEventListener("input", () => {
      current[filter.name] = filter.steps[input.value];
      show();
      moved();
    });
    input.addEventListener("change", settled);
    function show() {
      const value = current[filter.name], place = sampling.nearest(filter.steps, value);
      if (Number(input.value) !== place) input.value = place;
      output.textContent = filter.write(value);
      input.setAttribute("aria-valuetext", filter.write(value));
      row.classList.toggle("off", value === filter.off);
    }
    return { row, show };
  }

  return { FILTERS, OFF, slider, element, count };
})();
