// Seven steps for a first visit. Each sets the view, lights a part of the picture, and speaks in this run's numbers.
function tourSteps(trace, home) {
  const last = trace.n - 1, { layer, head, token } = home, row = trace.quoted(token);
  const reads = trace.has(layer) ? trace.reads(layer, head, token) : [[0, 0]];
  const [top, weight] = reads.find(([key]) => key > 0) || reads[0];   // the first token is where heads rest
  const at = { layer, head, token, big: false, map: "weights", part: null };
  const placed = ["learned", "sinusoidal"].includes(trace.position) ? ", and its place adds another" : "";
  const adds = trace.norm_place === "post" ? "Each adds to the stream and normalises the sum" : "Each only adds to the stream";
  const parts = (ids) => (L) => L.opens.flatMap((o) => o.parts.filter((p) => ids.includes(p.id)).map((p) => ({ x: p.x - 5, w: p.w + 10, y: 0, h: L.bottom + 34 })));
  const big = largestWrite(trace);
  const steps = [
    { title: "Tokens", view: { ...at, token: 0 },
      text: `The text is cut into ${trace.n} tokens, one row each. The model never sees letters, only numbers: ${trace.quoted(0)} is ${trace.tokens[0][0]}.`,
      boxes: (L) => [{ x: 0, y: 0, w: L.chips, h: L.height }] },
    { title: "Embedding", view: { ...at, token: 0 },
      text: `Each number picks its own learned vector of ${trace.d_model} values (blue below zero, rust above)${placed}. From here to the right edge a row is one such vector, on its way: the residual stream.`,
      boxes: (L) => [{ x: 0, y: 0, w: L.embed.x + L.embed.w + 6, h: L.height }] },
    { title: "One head", view: at,
      text: `Layer ${layer}, head ${head}. Every row asks with its query Q; every token answers with its key K. Here ${row} reads ${trace.quoted(top)} with weight ${weight.toFixed(2)}, and the values V of what was read flow into z.`,
      boxes: parts(["attention.Q", "attention.K", "attention.A", "attention.V", "mix", "attention.z"]) },
    trace.unmasked
      ? { title: "No mask", view: { ...at, map: "scores" }, text: "This model is an encoder: every token reads the whole text, before it and after it, so both triangles of the map are filled. A decoder would hatch the upper one out.", boxes: parts(["attention.A"]) }
      : { title: "The mask", view: { ...at, map: "scores" },
        text: "These are the scores before the softmax. The hatched half is the future: it gets −∞, which the softmax turns into a weight of exactly 0. What is left of each row becomes weights that sum to 1.",
        boxes: parts(["attention.A"]) },
    { title: "What the FFN adds", view: at,
      text: `Then each row passes ${trace.d_ff} neurons on its own, without looking at the others. Into ${row} this FFN writes a vector of length ${num(trace.length("ffn.out", layer, token))}; attention wrote ${num(trace.length("attention.out", layer, token))}.`,
      boxes: parts(["norm_2", "ffn.post", "ffn.out", "resid_post"]) },
    { title: "The stream", view: { ...at, layer: null },
      text: `All ${trace.n_layers} layers at once. ${adds}: attention’s write upward, the FFN’s downward; tall bars are long vectors. The largest of all is ${big.name} in layer ${big.layer}, into ${trace.quoted(big.row)}: length ${num(big.length)}.`,
      boxes: (L) => [{ x: L.stackX - 4, y: 0, w: L.stackEnd - L.stackX + 8, h: L.height }] },
    trace.headless
      ? { title: "The vectors", view: { ...at, layer: null }, text: `An encoder ends here: each token has become a vector of ${trace.d_model} numbers that knows its context. Their mean is the sentence’s vector. There is no next token to choose.`, boxes: (L) => [{ x: L.end.x - 6, y: 0, w: L.end.w + 12, h: L.height }] }
      : { title: "The choice", view: { ...at, layer: null, token: last }, temperature: true, odds: true,
        text: `The last row’s vector is compared with all ${spaced(trace.vocab_size)} entries of the vocabulary. ‘${trace.candidates[last][0][1].trim()}’ gets ${percent(trace.probabilities(nearest(trace.temperatures, 1), last)[0])}. Drag the temperature: low sharpens, high flattens, the order never changes.`,
        boxes: (L) => [{ x: L.end.x - 20, y: 0, w: L.end.w + 34, h: L.height }] },
  ];
  return steps;
}

function largestWrite(trace) {
  let best = { length: 0 };
  for (const [name, words] of [["attention.out", "attention’s"], ["ffn.out", "the FFN’s"]]) {
    for (let layer = 0; layer < trace.n_layers; layer++) for (let row = 0; row < trace.n; row++) {
      const length = trace.length(name, layer, row);
      if (length > best.length) best = { name: words, layer, row, length };
    }
  }
  return best;
}

const nearest = (values, x) => values.reduce((best, v, i) => (Math.abs(v - x) < Math.abs(values[best] - x) ? i : best), 0);

class Tour {
  constructor(root, { go, end }) {
    this.box = make(root, "div", "gw-tour");
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", "Tour");
    this.go = go;
    this.end = end;
  }

  show(step, steps, invite) {   // step 1..7, or null: an invitation, or nothing
    this.box.replaceChildren();
    this.box.hidden = step === null && !invite;
    if (this.box.hidden) return;
    this.box.classList.toggle("gw-invite", step === null);
    if (step === null) {
      make(this.box, "span", "").textContent = "First time here? Seven steps drive this picture for you, in about a minute.";
      const buttons = make(this.box, "span", "gw-nav");
      buttons.append(gf.button("Take the tour", () => this.go(1)), gf.button("Not now", this.end));
      return;
    }
    const { title, text } = steps[step - 1], words = make(this.box, "div", "gw-words");
    make(words, "strong", "").textContent = `${step}. ${title}`;
    make(words, "p", "").textContent = text;
    const nav = make(this.box, "div", "gw-nav");
    const dots = make(nav, "span", "gw-dots");
    steps.forEach(({ title: name }, k) => {
      const link = make(dots, "a", k + 1 === step ? "on" : "");
      const url = new URL(window.location.href);   // the step is the view: nothing else of it belongs in the link
      for (const view of ["layer", "head", "token", "temperature", "show", "grown", "part"]) url.searchParams.delete(view);
      url.searchParams.set("tour", k + 1);
      link.href = url.href;
      link.textContent = String(k + 1);
      link.setAttribute("aria-label", `Step ${k + 1}: ${name}`);
      if (k + 1 === step) link.setAttribute("aria-current", "step");
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;   // opening a link elsewhere stays possible
        event.preventDefault();
        this.go(k + 1);
      });
    });
    const back = gf.button("Back", () => this.go(step - 1));
    back.disabled = step === 1;
    const next = step < steps.length ? gf.button("Next", () => this.go(step + 1)) : gf.button("Done", this.end);
    next.classList.add("gw-primary");
    nav.append(back, next);
    if (step < steps.length) nav.append(gf.button("Skip", this.end, { label: "Skip the tour" }));
  }
}
