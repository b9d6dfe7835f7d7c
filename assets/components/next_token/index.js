/* One step of writing: the distribution over the next token, what each filter does to it, and the draw.
   data: charts/next_token.message. Reports "act": {do, settings, …}; the page keeps the state and sends the next step */
export default (component) => gf.mount(component, (root, first) => {
  let report = first, h = null, d = null, plain = null, view = null, plan = null;
  let hover = -1, axis = 0, epoch = null, remaining = 0, sent = 0, timer = 0, seen = null;
  const current = { ...filters.OFF };
  root.classList.add("next-token");

  const act = (action) => {
    if (action.do === "run") {
      if (remaining) { remaining = 0; clearTimeout(timer); panel.header(h, false); return; }
      remaining = 20;
      action = { do: "next", end: true };
    }
    if (action.do === "next") sent = performance.now();
    if (action.do !== "next") remaining = 0;
    if (action.do !== "settings") stages.whole();
    report.setTriggerValue("act", { ...action, settings: { ...current } });
    panel.header(h, remaining > 0);
  };
  const panel = controls.panel({ current, moved: recompute, settled: () => act({ do: "settings" }), act });
  const tape = controls.tape(act), beside = controls.compare(), facts = controls.facts();
  const stages = controls.stages(() => stage.redraw());
  const main = filters.element("div", "main"), said = filters.element("div", "gf-sr"), saves = filters.element("div", "saves");
  said.setAttribute("role", "status");
  saves.append(gf.button("SVG", saveSvg, { label: "Download the picture as SVG" }),
    gf.button("PNG", () => gf.savePng(stage.canvas, "next-token.png"), { label: "Download the picture as PNG" }),
    gf.button("CSV", saveCsv, { label: "Download all probabilities as CSV" }));
  root.append(main, panel.element);
  main.append(tape.element, facts.element, stages.element);
  const stage = gf.canvas(main, { label: "Next-token probabilities", draw });
  const tip = gf.tooltip(stage.wrap);
  main.append(beside.element, said);
  panel.element.append(saves);

  function recompute() {
    if (!h) return;
    d = sampling.distribution(h.arrays.ranked, current);
    let sum = 0;
    const cumulative = d.p.map((p) => (sum += p));
    const hit = sampling.pick(d, h.u);
    view = { ...view, d, cumulative, hit, setting: { ...current }, tint: tintOf(current.temperature) };
    panel.settings();
    facts.show(d, h.names);
    const top = h.names.slice(0, 3).map((name, r) => `${gf.chipText(name)} ${gf.number(sampling.share(d, r))}`);
    stage.canvas.setAttribute("aria-label", `Next-token probabilities by rank: ${top.join(", ")}; ${d.kept} of `
      + `${d.p.length} kept, entropy ${gf.number(d.entropy / Math.LN2)} bits. Arrow keys read the bars, Enter writes one, `
      + "N writes the next token, Backspace takes it back, Space plays the computation.");
    stage.redraw();
  }
  let tintOf = sampling.colour(root);

  function draw(ctx, width, height) {
    if (!view) return;
    const target = paint.axisFor(d, plain);
    const there = !axis || gf.reducedMotion() || Math.abs(Math.log(axis / target)) < 0.02;
    axis = there ? target : axis * (target / axis) ** 0.35;   // a new scale glides in, so that the bars can be followed
    if (axis !== target) stage.redraw();
    plan = paint.layout(width);
    if (Math.abs(plan.height - height) > 1) { stage.canvas.style.height = `${plan.height}px`; return; }
    paint.picture(plot.onCanvas(ctx), plan, { ...view, axis, hover, stage: stages.stage });
  }

  function show(next) {
    h = next;
    plain = sampling.distribution(h.arrays.ranked, filters.OFF);
    let sum = 0;
    const token = h.written[h.at] ?? null;
    view = { plain, plainCumulative: plain.p.map((p) => (sum += p)), names: h.names, ranked: h.arrays.ranked, u: h.u,
      c: gf.colours(root), token, written: token ? token.rank : -1 };
    if (h.epoch !== epoch) { Object.assign(current, h.settings); epoch = h.epoch; }
    hover = -1;
    tip.hide();
    tape.show(h);
    beside.show(h);
    recompute();
    remaining = h.ended || !h.can_write ? 0 : Math.max(0, remaining - (h.written.length > (seen ?? 0) ? 1 : 0));
    if (seen !== null && h.written.length > seen) {
      const token = h.written[h.written.length - 1];
      said.textContent = `Written: ${token.piece}, probability ${gf.number(token.p)}.`;
    }
    seen = h.written.length;
    panel.header(h, remaining > 0);
    clearTimeout(timer);
    if (remaining) timer = setTimeout(() => act({ do: "next", end: true }), Math.max(0, 220 - (performance.now() - sent)));
  }

  function arithmetic(r) {
    const T = current.temperature, l = h.arrays.ranked, why = sampling.reason(d, r), n = gf.number;
    const lines = [{ text: `${gf.chipText(h.names[r])}   id ${h.ids[r]}, rank ${r + 1}`, strong: true }];
    if (T === 0) lines.push(r ? "T = 0: only the largest logit counts" : "T = 0: the largest logit takes all");
    else {
      lines.push(`e^((${n(l[r], 4)} − ${n(l[0], 4)}) / ${sampling.said(T)}) = ${n(d.p[r] * d.total)}`,
        `÷ Σ of all ${filters.count(l.length)} = ${n(d.total)}  →  p = ${n(d.p[r])}`);
    }
    let before = 0;
    for (let i = 0; i < r; i++) before += d.p[i];
    if (!why && d.kept < l.length) lines.push(`÷ ${n(d.mass)}, what is kept  →  q = ${n(sampling.share(d, r))}`);
    if (why === "top-k") lines.push(`top-k: rank ${r + 1} > ${current.top_k}`);
    const left = view.cumulative[d.cuts.top_k - 1];   // top-p counts shares of what top-k left
    if (why === "top-p") lines.push(`top-p: those above hold ${n(before / left)} ≥ ${current.top_p}`);
    if (why === "min-p") lines.push(`min-p: ${n(d.p[r])} < ${current.min_p} × ${n(d.p[0])}`);
    if (h.can_write) lines.push({ text: "click: write this one", colour: view.c.muted });
    return lines;
  }

  const rowAt = (x, y) => {
    const r = Math.floor((y - plan.bars.y) / plan.row);
    return x < plan.bars.w && r >= 0 && r < Math.min(plan.rows, h.names.length) ? r : -1;
  };
  const pointAt = (r) => {
    hover = r;
    const lines = arithmetic(r);
    tip.show(plan.wide ? plan.bars.w - 34 : plan.bars.logit, plan.bars.y + (plan.wide ? r : r + 1) * plan.row - 8, lines);
    stage.redraw();
    return lines;
  };
  const force = (r) => {
    if (h.can_write && !remaining) act({ do: "force", token: h.ids[r] });
  };
  stage.canvas.addEventListener("pointermove", (event) => {
    if (!plan || !h) return;
    const { offsetX: x, offsetY: y } = event, r = rowAt(x, y), g = plan.curve;
    stage.canvas.style.cursor = r >= 0 && h.can_write ? "pointer" : "default";
    if (r >= 0) { pointAt(r); return; }
    if (hover >= 0) { hover = -1; stage.redraw(); }
    if (x >= g.x && x <= g.x + g.w && y >= g.y && y <= g.y + g.h) {
      const rank = Math.min(d.p.length, Math.floor(10 ** ((x - g.x) / g.w * Math.log10(d.p.length)) + 1e-9));
      tip.show(x, y, [`the ${filters.count(rank)} most probable`, `hold ${gf.number(view.cumulative[rank - 1], 4)}`,
        { text: `at T = 1: ${gf.number(view.plainCumulative[rank - 1], 4)}`, colour: view.c.muted }]);
    } else if (y >= plan.ruler.y + 44 && y <= plan.ruler.y + 76) {
      const on = sampling.pick(d, Math.min(1 - 1e-12, Math.max(0, (x - plan.ruler.x) / plan.ruler.w)));
      const name = on < h.names.length ? gf.chipText(h.names[on]) : `rank ${filters.count(on + 1)}`;
      let from = 0;
      for (let i = 0; i < on; i++) from += d.p[i] / d.mass;
      const q = sampling.share(d, on);
      tip.show(x, y, [{ text: name, strong: true }, `from ${gf.number(from, 4)} to ${gf.number(from + q, 4)}`, `q = ${gf.number(q)}`]);
    } else tip.hide();
  });
  stage.canvas.addEventListener("pointerleave", () => { hover = -1; tip.hide(); stage.redraw(); });
  stage.canvas.addEventListener("click", (event) => {
    const r = rowAt(event.offsetX, event.offsetY);
    if (r >= 0) force(r);
  });
  const walk = (step) => () => {
    const lines = pointAt(Math.max(0, Math.min(plan.rows - 1, h.names.length - 1, hover + step)));
    said.textContent = lines.map((line) => line.text ?? line).join("; ");
  };
  const look = (step) => () => {
    const at = Math.max(0, Math.min(h.written.length, h.at + step));
    if (at !== h.at) act({ do: "look", at });
  };
  gf.keys(stage.canvas, { ArrowDown: walk(1), ArrowUp: walk(-1), ArrowLeft: look(-1), ArrowRight: look(1),
    Enter: () => { if (hover >= 0) force(hover); }, Escape: () => { hover = -1; tip.hide(); stage.redraw(); },
    " ": () => stages.element.firstChild.click(),
    n: () => { if (!remaining && h.can_write && (!h.ended || h.at < h.written.length)) act({ do: "next" }); },
    Backspace: () => { if (h.written.length && !remaining) act({ do: "undo" }); } });

  function saveSvg() {
    const shown = { ...view, axis: paint.axisFor(d, plain), hover: -1, stage: stages.stage };
    plot.saveSvg("next-token.svg", plan, view.c.background, (p) => paint.picture(p, plan, shown));
  }
  function saveCsv() {
    const rows = ["rank,token,id,logit,p,q,cut_by"];
    for (let r = 0; r < h.names.length; r++) {
      const name = `"${h.names[r].replaceAll('"', '""')}"`, why = sampling.reason(d, r) ?? "";
      rows.push([r + 1, name, h.ids[r], h.arrays.ranked[r], d.p[r], sampling.share(d, r), why].join(","));
    }
    gf.saveText(rows.join("\n"), "next-token.csv", "text/csv");
  }

  return {
    update(next) {
      report = next;
      tintOf = sampling.colour(root);
      show(gf.unpack(next.data));
    },
    destroy() { clearTimeout(timer); stages.destroy(); stage.destroy(); },
  };
});
