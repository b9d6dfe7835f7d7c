/* What a token, or a text of n tokens, weighs in the cache of known models: one bar for each way to share heads, on one
   logarithmic axis, so that equal steps are equal factors. The slider sets n. ↑ ↓ or hover choose a bar.
   Data: charts/heads.py, numbers [model, way] for one token in bytes, NaN where a model has no such way.
   Reports: stand {epoch, n}. */
export default (component) => gf.mount(component, (root, first) => {
  const ROLES = ["key", "query", "attention", "value"];
  let d = null, c = null, at = 0, picked = 0, hover = null, send = first, waiting = 0;
  const slider = plot.scrubber("", (i) => { at = i; read(); tell(); });
  root.append(slider.element);
  const { view, sum, tools, fit } = plot.picture(root, "cache-of-models", (w) => d && layout(w), draw);
  const tip = gf.tooltip(view.wrap);
  root.append(sum, tools);
  const ROW = 17, HEAD = 30;
  const ways = () => d.ways.length, bytes = (m, k) => d.arrays.bytes[m * ways() + k];
  const bars = () => d.models.flatMap((_, m) => d.ways.map((_, k) => [m, k])).filter(([m, k]) => Number.isFinite(bytes(m, k)));
  const n = () => d.lengths.values[at];
  const size = (b) => (b >= 1e9 ? `${gf.number(b / 1e9)} GB` : b >= 1e6 ? `${gf.number(b / 1e6)} MB` : `${gf.number(b / 1e3)} kB`);

  function layout(w) {
    const narrow = w < 640, x = narrow ? 4 : 208, right = 92, rows = [];
    let y = 34;
    d.models.forEach((_, m) => {
      rows[m] = y;
      y += (narrow ? 24 : 8) + ROW * d.ways.filter((_, k) => Number.isFinite(bytes(m, k))).length + 12;
    });
    return { narrow, x, w: w - x - right, rows, height: y + 30 };
  }

  function scale(l) {
    const all = bars().map(([m, k]) => bytes(m, k)), span = [Math.min(...all) / 2, Math.max(...all) * 1.2];
    return plot.scale(span[0] * n(), span[1] * n(), l.x, l.x + l.w, true);
  }

  function draw(p, l) {
    const x = scale(l);
    let lx = 0;
    d.ways.forEach((name, k) => {
      p.rect(lx, 4, 16, 12, { fill: c[ROLES[k]], radius: 2 });
      const text = l.narrow ? name.split(" ")[0] : name;
      p.text(lx + 22, 15, text, { fill: c.ink, family: plot.SANS, size: 14 });
      lx += 22 + 7.2 * text.length + 20;
    });
    for (const value of plot.ticks(x.lo, x.hi, 6, true)) {
      p.line([[x(value), 26], [x(value), l.height - 26]], { stroke: c.line });
      p.text(x(value), l.height - 8, size(value), { fill: c.muted, anchor: "middle", size: 12 });
    }
    places(l).forEach(({ m, k, y, first }, i) => {
      if (first) {
        const [name, note] = d.models[m];
        p.text(l.narrow ? l.x : 0, l.narrow ? l.rows[m] + 14 : y + 14, name, { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
        p.text(l.narrow ? l.x + 8.4 * name.length + 8 : 0, l.narrow ? l.rows[m] + 14 : y + 32, note, { fill: c.muted, family: plot.SANS, size: 13 });
      }
      const own = d.own[m] === k, b = bytes(m, k) * n(), here = i === (hover ? hover.i : picked);
      p.rect(l.x, y + 2, x(b) - l.x, ROW - 4, { fill: own ? c[ROLES[k]] : gf.mix(c.background, c[ROLES[k]], 0.4), radius: 2 });
      if (here) p.rect(l.x - 2, y, x(b) - l.x + 4, ROW, { stroke: c.ink, radius: 3 });
      p.text(x(b) + 8, y + 13, size(b), { fill: c.ink, size: 13, weight: own ? 700 : 400 });
    });
  }

  function places(l) {
    const found = [];
    d.models.forEach((_, m) => {
      let row = 0;
      d.ways.forEach((_, k) => {
        if (!Number.isFinite(bytes(m, k))) return;
        found.push({ m, k, y: l.rows[m] + (l.narrow ? 20 : 4) + ROW * row, first: row === 0 });
        row += 1;
      });
    });
    return found;
  }

  function read() {
    const [m, k] = bars()[hover ? hover.i : picked], whole = bytes(m, 0);
    const line = `${d.models[m][0]}, ${d.ways[k]}: ${d.formulas[m][k]} × ${n().toLocaleString("en-US")} tokens = ${size(bytes(m, k) * n())}`;
    sum.textContent = `${line}${k && Number.isFinite(whole) ? `, ${gf.number(whole / bytes(m, k))} times less than multi-head` : ""}${d.own[m] === k ? " (as it is)" : ""}`;
    if (hover) tip.show(hover.x, hover.y, [sum.textContent]); else tip.hide();
    view.canvas.setAttribute("aria-label", `${d.label} ${sum.textContent}`);
    view.redraw();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, n: n() }), 250);
  }

  function under(event) {
    const rect = view.canvas.getBoundingClientRect(), y = event.clientY - rect.top;
    const i = places(layout(rect.width)).findIndex((place) => y >= place.y && y < place.y + ROW);
    return i < 0 ? null : { i, x: event.clientX - rect.left, y };
  }

  view.canvas.addEventListener("pointermove", (event) => { if (d && event.pointerType !== "touch") { hover = under(event); read(); } });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (d) read(); });
  view.canvas.addEventListener("click", (event) => { const found = d && under(event); if (found) { picked = found.i; read(); } });
  const step = (by) => () => { hover = null; picked = (picked + by + bars().length) % bars().length; read(); };
  gf.keys(view.canvas, { ArrowUp: step(-1), ArrowDown: step(1) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      if (!old || old.epoch !== d.epoch) { clearTimeout(waiting); at = d.lengths.values.indexOf(d.lengths.at); }
      slider.element.firstChild.textContent = d.lengths.label;
      slider.set(d.lengths.values.map((v) => v.toLocaleString("en-US")), at);
      fit();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
