/* Softmax temperature on one position's real logits. data: charts/temperature.message. Reports "act":
   {do: "look", position} when another token of the text is picked, {do: "settings", temperature} when T is let go. */
export default (component) => gf.mount(component, (root, first) => {
  let report = first, h = null, view = null, plan = null, fixed = [], epoch = null, hover = null, dragging = null;
  const current = { ...filters.OFF }, { element } = filters;
  const ladder = { ...filters.FILTERS[0], steps: sampling.TEMPERATURES.filter((T) => T > 0) };
  root.classList.add("temperature");
  const main = element("div", "main"), knob = element("div", "panel"), text = element("div", "tape");
  const said = element("div", "gf-sr"), facts = element("dl", "facts"), saves = element("div", "saves");
  said.setAttribute("role", "status");
  const act = (action) => report.setTriggerValue("act", { ...action, temperature: current.temperature });
  const slider = filters.slider(ladder, current, { moved: recompute, settled: () => act({ do: "settings" }) });
  saves.append(gf.button("SVG", saveSvg, { label: "Download the picture as SVG" }),
    gf.button("PNG", () => gf.savePng(stage.canvas, "temperature.png"), { label: "Download the picture as PNG" }),
    gf.button("CSV", saveCsv, { label: "Download the probabilities as CSV" }));
  knob.append(slider.row, facts);
  main.append(text, knob);
  const stage = gf.canvas(main, { label: "One distribution at several temperatures", draw });
  const tip = gf.tooltip(stage.wrap);
  main.append(saves, said);
  root.appendChild(main);

  function setTemperature(T) {
    current.temperature = T;
    slider.show();
    recompute();
  }

  function recompute() {
    if (!h) return;
    const tintOf = sampling.colour(root), T = current.temperature;
    const at = (T) => sampling.distribution(h.arrays.ranked, { ...filters.OFF, temperature: T });
    const columns = [{ T, d: at(T), tint: tintOf(T), live: true }, ...fixed.map((f) => ({ ...f, tint: tintOf(f.T) }))];
    const axis = Math.max(...columns.map(({ d }) => d.p[0]));
    view = { columns, names: h.names, c: gf.colours(root), axis, sweep: h.arrays };
    const d = columns[0].d, n = gf.number, [l0, l1] = h.arrays.ranked;
    facts.replaceChildren(...[
      ["entropy", `${n(d.entropy / Math.LN2)} bits`, `${n(d.entropy)} nats`],
      ["perplexity", `${n(Math.exp(d.entropy))}`, "equal choices"],
      ["largest probability", n(d.p[0]), gf.chipText(h.names[0])],
      ["first : second", n(d.p[0] / d.p[1]), `e^(${n(l0 - l1)} / ${sampling.said(T)})`],
    ].map(([term, value, small]) => {
      const pair = element("div"), dd = element("dd", "", value);
      dd.appendChild(element("small", "", small));
      pair.append(element("dt", "", term), dd);
      return pair;
    }));
    stage.canvas.setAttribute("aria-label", `At T = ${sampling.said(T)}: entropy ${n(d.entropy / Math.LN2)} bits, most probable `
      + `${gf.chipText(h.names[0])} with ${n(d.p[0])}. Left and right arrows change T, up and down read the tokens.`);
    stage.redraw();
  }

  function draw(ctx, width, height) {
    if (!view) return;
    plan = painter.layout(width, view.columns.length);
    if (Math.abs(plan.height - height) > 1) { stage.canvas.style.height = `${plan.height}px`; return; }
    painter.picture(plot.onCanvas(ctx), plan, { ...view, hover });
  }

  function arithmetic(rank, column) {
    const { T, d } = view.columns[column], l = h.arrays.ranked, n = gf.number;
    return [{ text: `${gf.chipText(h.names[rank])}   id ${h.ids[rank]}, rank ${rank + 1}`, strong: true },
      `e^((${n(l[rank], 4)} − ${n(l[0], 4)}) / ${sampling.said(T)}) = ${n(d.p[rank] * d.total)}`,
      `÷ Σ of all ${filters.count(l.length)} = ${n(d.total)}  →  p = ${n(d.p[rank])}`];
  }

  function point(rank, column) {
    hover = { rank, column };
    const lines = arithmetic(rank, column), b = plan.bars;
    tip.show(b.x(column) + 10, b.y + (rank + 1) * b.row - 6, lines);
    stage.redraw();
    return lines;
  }
  const rest = () => { hover = null; tip.hide(); stage.redraw(); };
  const near = (g, { offsetX: x, offsetY: y }) =>
    x >= g.x - 12 && x <= g.x + g.w + 12 && y >= g.y - 12 && y <= g.y + g.h + 12;
  const inSweep = (event) => plan && [plan.entropy, plan.largest].find((g) => near(g, event));
  function dragTo(event) {
    const T = painter.scales(plan, view).T(dragging).invert(event.offsetX), steps = ladder.steps;
    setTemperature(Number(Math.min(steps[steps.length - 1], Math.max(steps[0], T)).toPrecision(2)));
  }
  stage.canvas.addEventListener("pointerdown", (event) => {
    if (!(dragging = inSweep(event) ?? null)) return;
    stage.canvas.setPointerCapture(event.pointerId);
    dragTo(event);
  });
  stage.canvas.addEventListener("pointermove", (event) => {
    if (dragging) { dragTo(event); return; }
    if (!plan) return;
    const b = plan.bars, rank = Math.floor((event.offsetY - b.y) / b.row), column = columnAt(event.offsetX);
    const onBars = column >= 0 && event.offsetY < b.y + b.h;
    stage.canvas.style.cursor = inSweep(event) ? "ew-resize" : onBars ? "pointer" : "default";
    if (rank >= 0 && rank < Math.min(b.rows, h.names.length) && column >= 0) point(rank, column);
    else if (hover) rest();
  });
  const columnAt = (x) => view.columns.findIndex((_, i) => x >= plan.bars.x(i) - 6 && x <= plan.bars.x(i) + plan.bars.each + 6);
  const drop = () => {
    if (!dragging) return;
    dragging = null;
    act({ do: "settings" });
  };
  stage.canvas.addEventListener("pointerup", drop);
  stage.canvas.addEventListener("pointercancel", drop);
  stage.canvas.addEventListener("pointerleave", () => { if (!dragging) rest(); });
  stage.canvas.addEventListener("click", (event) => {   // a column hands its temperature to the live one
    const column = columnAt(event.offsetX);
    if (column <= 0 || event.offsetY > plan.bars.y + plan.bars.h || inSweep(event)) return;
    setTemperature(view.columns[column].T);
    act({ do: "settings" });
  });
  const nudge = (step) => () => {
    const at = sampling.nearest(ladder.steps, current.temperature) + step;
    setTemperature(ladder.steps[Math.max(0, Math.min(ladder.steps.length - 1, at))]);
    clearTimeout(nudge.timer);
    nudge.timer = setTimeout(() => act({ do: "settings" }), 400);
  };
  const walk = (step) => () => {
    const rank = Math.max(0, Math.min(plan.bars.rows - 1, h.names.length - 1, (hover ? hover.rank : -1) + step));
    said.textContent = point(rank, hover ? hover.column : 0).map((line) => line.text ?? line).join("; ");
  };
  gf.keys(stage.canvas, { ArrowLeft: nudge(-1), ArrowRight: nudge(1), ArrowDown: walk(1), ArrowUp: walk(-1), Escape: rest });

  function showText() {
    text.replaceChildren(...h.pieces.map((piece, i) => {
      const made = element("button", "step");
      made.type = "button";
      made.appendChild(gf.chip(piece));
      made.setAttribute("aria-pressed", String(i === h.position));
      made.setAttribute("aria-label", `What follows ${gf.chipText(piece)}, token ${i + 1}`);
      if (i > h.position) made.classList.add("unread");
      made.addEventListener("click", () => {
        report.ask("position", i);   // it may have been sent ahead
        act({ do: "look", position: i });
      });
      return made;
    }), element("span", "asks", "→ ?"));
  }

  function saveSvg() {
    plot.saveSvg("temperature.svg", plan, view.c.background, (p) => painter.picture(p, plan, { ...view, hover: null }));
  }
  function saveCsv() {
    const rows = [["rank", "token", "id", "logit", ...view.columns.map(({ T }) => `p at T=${T}`)].join(",")];
    h.names.forEach((name, r) => rows.push([r + 1, `"${name.replaceAll('"', '""')}"`, h.ids[r], h.arrays.ranked[r],
      ...view.columns.map(({ d }) => d.p[r])].join(",")));
    gf.saveText(rows.join("\n"), "temperature.csv", "text/csv");
  }

  return {
    update(next) {
      report = next;
      h = gf.unpack(next.data);
      const at = (temperature) => sampling.distribution(h.arrays.ranked, { ...filters.OFF, temperature });
      fixed = h.fixed.map((T) => ({ T, d: at(T), live: false }));
      if (h.epoch !== epoch) { current.temperature = h.temperature; epoch = h.epoch; }
      slider.show();
      hover = null;
      tip.hide();
      showText();
      recompute();
    },
    destroy() { clearTimeout(nudge.timer); stage.destroy(); },
  };
});
