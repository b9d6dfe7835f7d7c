/* Blocks of a Transformer that differ in where their norms stand, one below the other, drawn from what a run of each records.

   The stream runs left to right, as thick as it is large there; each sublayer is a branch above it that is added back. The
   slider, or left and right, chooses the layer; hover for a tensor's size.
   Data: charts/blocks.py says what the header holds. Reports: stand, with frame (the layer) and the epoch. */
export default (component) => gf.mount(component, (root, first) => {
  const ROW = 182;
  let spec = null, c = null, frame = 0, hover = null, send = first, waiting = 0, spots = [];
  const layers = plot.scrubber("", (i) => { frame = i; read(); tell(); });
  root.append(layers.element);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w) });
  const tip = gf.tooltip(view.wrap);
  const { sum, tools } = plot.foot(view, () => spec.name,
    () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background, (p, w) => draw(p, w)));
  root.append(sum, tools);

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, frame: spec.layers.values[frame] }), 250);
  }

  const sizes = (place) => {
    const { names } = spec.places[place], from = place * spec.arrays.sizes.shape[1] + frame, width = spec.arrays.sizes.shape[2];
    return Object.fromEntries(names.map((name, i) => [name, spec.arrays.sizes[from * width + i]]));
  };
  const thick = (size) => Math.max(1.5, Math.min(26, 5 * size));

  function draw(p, w) {
    spots = [];
    spec.places.forEach((_, i) => block(p, i, w, 30 + i * ROW));
  }

  function block(p, place, w, top) {
    const { title, role } = spec.places[place], size = sizes(place), y = top + 112, up = top + 38;
    const left = 26, each = (w - left - 12) / 2, small = w < 620;
    p.text(4, top - 6, title, { fill: c[role], family: plot.SANS, size: 17, weight: 700 });
    ["attention", "ffn"].forEach((part, half) => {
      const before = half ? "resid_mid" : "resid_pre", after = half ? "resid_post" : "resid_mid";
      const x = left + half * each, at = (share) => x + share * each, norm = `norm_${half + 1}`;
      const order = spec.places[place].names, sums = `sum_${half + 1}`;
      const first = order.indexOf(norm) < order.indexOf(`${part}.out`), raw = size[`${part}.raw`] !== undefined;
      stream(p, at(0), at(0.68), y, size[before], before);
      const behind = !first && size[norm] !== undefined;
      stream(p, at(0.68), at(behind ? 0.84 : 1), y, behind ? size[sums] : size[after], behind ? sums : after);
      const joined = [[at(0.06), y], [at(0.06), up], [at(0.68), up], [at(0.68), y]];
      p.line(joined, { stroke: c.muted, lineWidth: 1.5 });
      arrow(p, at(0.68), y - thick(size[before]) / 2 - 13);
      const boxes = [...(first ? [[norm, "norm", "residual"]] : []),
        [raw ? `${part}.raw` : `${part}.out`, part === "ffn" ? "FFN" : part, part],
        ...(raw ? [[`${part}.out`, "norm", "residual"]] : [])];
      const room = 0.58 / boxes.length;
      boxes.forEach(([name, text, tone], i) => {
        const wide = Math.min(104, room * each - (small ? 3 : 14)), short = text === "attention" && wide < 84 ? "attn" : text;
        box(p, at(0.08 + room * (i + 0.5)), up, wide, name, short, tone, size[name], small);
      });
      plus(p, at(0.68), y, small ? 9 : 13);
      if (behind) {
        stream(p, at(0.84), at(1), y, size[after], after);
        box(p, at(small ? 0.87 : 0.84), y, Math.min(74, 0.2 * each), norm, "norm", "residual", size[norm], small);
      }
    });
  }

  function stream(p, from, to, y, size, name) {
    p.rect(from, y - thick(size) / 2, to - from, thick(size), { fill: gf.mix(c.background, c.residual, 0.55) });
    spots.push({ x: (from + to) / 2, y, w: to - from, h: 30, name, size });
    if (to - from > 60) p.text((from + to) / 2, y + 34, gf.number(size), { fill: c.ink, anchor: "middle", size: 14 });
  }

  function box(p, x, y, w, name, text, tone, size, small) {
    const fill = tone === "residual" ? c.residual : c[tone];
    p.rect(x - w / 2, y - 17, w, 34, { fill, radius: 7 });
    p.text(x, y + 5, text, { fill: plot.readable(c, fill), family: plot.SANS, size: w < 32 ? 10 : w < 40 ? 11 : small ? 12 : 15, anchor: "middle", weight: 600 });
    if (!small) p.text(x, y - 24, gf.number(size), { fill: c.muted, anchor: "middle", size: 13 });
    spots.push({ x, y, w, h: 40, name, size });
  }

  function plus(p, x, y, r) {
    p.circle(x, y, r, { fill: c.background, stroke: c.ink, lineWidth: 1.5 });
    p.line([[x - r / 2, y], [x + r / 2, y]], { stroke: c.ink, lineWidth: 2 });
    p.line([[x, y - r / 2], [x, y + r / 2]], { stroke: c.ink, lineWidth: 2 });
  }

  function arrow(p, x, y) {
    p.line([[x - 5, y - 6], [x, y], [x + 5, y - 6]], { stroke: c.muted, lineWidth: 1.5 });
  }

  function read() {
    const said = hover ? `${hover.name}: ${gf.number(hover.size, 4)}`
      : spec.places.map((one, i) => `${one.title} ${gf.number(sizes(i).resid_pre)} → ${gf.number(sizes(i).resid_post)}`).join("; ");
    sum.textContent = `${spec.layers.label} ${spec.layers.values[frame]}, root mean square of the stream: ${said}`;
    view.canvas.setAttribute("aria-valuenow", frame);
    view.canvas.setAttribute("aria-valuetext", sum.textContent);
    view.redraw();
  }

  function move(to) {
    if (to === frame || to < 0 || to >= spec.layers.values.length) return;
    frame = to;
    layers.set(spec.layers.values.map(String), frame);
    read();
    tell();
  }

  view.canvas.addEventListener("pointermove", (event) => {
    const rect = view.canvas.getBoundingClientRect(), x = event.clientX - rect.left, y = event.clientY - rect.top;
    const over = spots.filter((s) => Math.abs(x - s.x) <= s.w / 2 && Math.abs(y - s.y) <= s.h / 2);
    const found = over[over.length - 1] ?? null;
    if (found) tip.show(x, y, [{ text: `layers.${spec.layers.values[frame]}.${found.name}`, strong: true },
      `root mean square ${gf.number(found.size, 4)}`]);
    else tip.hide();
    if (found !== hover) { hover = found; read(); }
  });
  view.canvas.addEventListener("pointerleave", () => { hover = null; tip.hide(); if (spec) read(); });
  gf.keys(view.canvas, { ArrowLeft: () => move(frame - 1), ArrowRight: () => move(frame + 1), ArrowDown: () => move(frame - 1),
    ArrowUp: () => move(frame + 1), Home: () => move(0), End: () => move(spec.layers.values.length - 1) });

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      const kept = before && before.epoch === spec.epoch;   // the layer is the learner's
      if (!kept) { clearTimeout(waiting); frame = spec.layers.values.indexOf(spec.layers.at); }
      hover = null;
      layers.element.firstChild.textContent = spec.layers.label;
      layers.set(spec.layers.values.map(String), frame);
      view.canvas.style.height = `${spec.places.length * ROW + 20}px`;
      view.canvas.setAttribute("role", "slider");
      view.canvas.setAttribute("aria-label", spec.label);
      view.canvas.setAttribute("aria-valuemin", 0);
      view.canvas.setAttribute("aria-valuemax", spec.layers.values.length - 1);
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
