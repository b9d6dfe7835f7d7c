// Everything that is pressed: the toolbar, the temperature under the odds, the next token, and the legend.
class Controls {
  constructor(root, bar, stage, act) {
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", "Walkthrough");
    const group = (...buttons) => { const g = make(bar, "span", "gw-group"); g.append(...buttons); return g; };
    this.play = gf.button("▶ Play", act.play, { label: "Play the order of computation" });
    group(this.play, gf.button("Step", act.step, { label: "One step of the computation" }), gf.button("Reset", act.reset, { label: "Show everything computed" }));
    this.layer = make(document.createElement("span"), "output", "gw-value");
    group(gf.button("‹", () => act.layer(-1), { label: "Previous layer" }), this.layer, gf.button("›", () => act.layer(1), { label: "Next layer" }));
    this.head = make(document.createElement("span"), "output", "gw-value");
    this.heads = group(gf.button("‹", () => act.head(-1), { label: "Previous head" }), this.head, gf.button("›", () => act.head(1), { label: "Next head" }));
    this.scores = gf.button("Scores", () => act.map("scores"), { pressed: false, label: "Show the scores before the softmax" });
    this.weights = gf.button("Weights", () => act.map("weights"), { pressed: true, label: "Show the attention weights" });
    this.grow = gf.button("Enlarge", act.grow, { pressed: false, label: "Enlarge the head’s map" });
    this.maps = group(this.scores, this.weights, this.grow);
    make(bar, "span", "gw-space");
    this.tour = gf.button("Tour", act.tour, { label: "Take the tour of seven steps" });
    group(this.tour, gf.button("SVG", act.svg, { label: "Save the picture as SVG" }), gf.button("PNG", act.png, { label: "Save the picture as PNG" }));

    this.odds = make(stage, "div", "gw-odds");
    const label = make(this.odds, "label", "");
    make(label, "span", "").textContent = "temperature";
    this.T = make(label, "output", "gw-value");
    this.slider = make(label, "input", "");
    this.slider.type = "range";
    this.slider.min = 0;
    this.slider.step = 1;
    this.slider.addEventListener("input", () => act.temperature(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => event.stopPropagation());
    this.next = gf.button("", act.append);
    this.next.classList.add("gw-next");
    this.odds.append(this.next);
    this.legend = make(root, "div", "gw-legend");
  }

  show(trace, view, playing, L, zoom) {
    const open = view.layer !== null;
    this.play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    this.layer.textContent = open ? `Layer ${view.layer}` : "No layer";
    this.head.textContent = `Head ${view.head}`;
    this.heads.hidden = this.maps.hidden = !open;
    this.scores.setAttribute("aria-pressed", String(view.map === "scores"));
    this.weights.setAttribute("aria-pressed", String(view.map === "weights"));
    this.grow.setAttribute("aria-pressed", String(view.big));
    this.odds.hidden = trace.headless;
    if (trace.headless) return;
    Object.assign(this.odds.style, { left: `${(L.end.x - L.chips) * zoom}px`, top: `${(L.bottom + 22) * zoom}px`, width: `${L.end.w * zoom}px` });
    const T = trace.temperatures[view.temperature], [, piece] = trace.candidates[view.token][view.pick], last = view.token === trace.n - 1;
    this.slider.max = trace.temperatures.length - 1;
    this.slider.value = view.temperature;
    this.slider.setAttribute("aria-valuetext", `T = ${T.toFixed(2)}, ‘${piece.trim()}’ ${percent(trace.probabilities(view.temperature, view.token)[view.pick])}`);
    this.T.textContent = T.toFixed(2);
    this.next.textContent = `${L.end.w < 140 ? "Next" : "Next token"}: ${gf.chipText(piece)}`;
    const why = trace.next_token || (last ? "" : "Only the last row’s choice can be appended: press ↓ until you are there.");
    this.next.setAttribute("aria-disabled", String(Boolean(why)));
    this.next.title = why;
  }

  explain(trace, c) {   // the legend, anew on a theme switch
    const item = (text, paint) => {
      const span = make(this.legend, "span", "gw-key"), sample = make(span, "i", "");
      paint(sample.style);
      make(span, "span", "").textContent = text;
    };
    this.legend.replaceChildren();
    const cap = gf.number(trace.cap, 2), cut = trace.most > trace.cap ? `; longer ones end dark, the longest is ${gf.number(trace.most)}` : "";
    item("upward: what attention added", (s) => { s.background = c.attention; });
    item(`downward: what the FFN added (height ∝ √length, drawn to ${cap}${cut})`, (s) => { s.background = c.ffn; });
    item("residual stream", (s) => { s.background = c.residual; s.height = "3px"; });
    item("values − 0 +, range of each strip", (s) => { s.background = `linear-gradient(90deg, ${c.negative}, ${c.background}, ${c.positive})`; s.width = "44px"; });
    item("weights 0 to 1", (s) => { s.background = `linear-gradient(90deg, ${c.background}, ${c.attention})`; s.width = "44px"; });
    make(this.legend, "span", "gw-keys").textContent = "keys: ← → layers · ↑ ↓ tokens · H head · enter enlarge · shift ← → key · space play · esc back";
  }
}
