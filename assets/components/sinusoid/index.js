/* Sinusoids: the whole matrix, one pair of its columns as a hand that turns and as two waves, and the rotation that
   leads from one position to another.

   Click the matrix to choose a position and a pair; drag along the waves to walk. Keys: ← → the position, Shift ← → the
   shift k, ↑ ↓ the pair, Home back to the first position. Sliders choose all of these, the width d and the base.
   Data: charts/sinusoids.py. PE and the speeds are the server's; R(k) is cos and sin of k·θ, and what it makes of PE(pos)
   is written beside PE(pos + k) as the matrix has it. Reports: stand {pos, k, pair, d, base, layout} where the learner
   left them, with the epoch of the message that it answers to. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, c = null, map = null, send = first, waiting = 0, held = false;
  const NAMES = ["pos", "k", "pair", "d", "base"], now = {}, sliders = {};
  for (const name of NAMES) sliders[name] = plot.scrubber("", (i) => set({ [name]: i }));
  const layouts = plot.buttons((name) => set({ layout: spec.layouts.values.indexOf(name) }));
  const above = Object.assign(document.createElement("div"), { className: "sliders" });
  const below = Object.assign(document.createElement("div"), { className: "sliders" });
  const under = Object.assign(document.createElement("div"), { className: "under" });
  above.append(...NAMES.slice(0, 3).map((name) => sliders[name].element));
  below.append(...NAMES.slice(3).map((name) => sliders[name].element), layouts.element);
  root.append(above);
  const view = gf.canvas(root, { label: "", draw: paint });
  const saveSvg = () => plot.saveSvg("sinusoids.svg", view.size(), c.background, draw);
  const { sum, tools } = plot.foot(view, () => "sinusoids", saveSvg);
  under.append(sum, tools);
  root.append(below, under);

  // ---- what is chosen, and the numbers at it ----
  const d = () => spec.d.values[now.d], count = () => d() / 2, positions = () => spec.positions;
  const block = (name, width) => {   // [layout, base, …] of the width that is chosen
    const a = spec.arrays[`${name} ${d()}`], bases = a.shape[1], size = width;
    const from = (now.layout * bases + now.base) * size;
    return a.subarray(from, from + size);
  };
  const PE = () => block("PE", positions() * d()), theta = (i) => block("theta", count())[i];
  const columns = (i) => (now.layout ? [i, i + count()] : [2 * i, 2 * i + 1]);   // of a pair, sine and cosine
  const at = (pos, i = now.pair) => columns(i).map((col) => PE()[pos * d() + col]);
  const ks = () => Array.from({ length: positions() - now.pos }, (_, i) => String(i));
  const num = (v) => v.toFixed(4).replace(/^-(?=0\.0*$)/, "").replace("-", "−");
  const turned = ([s, co], by) => [s * Math.cos(by) + co * Math.sin(by), co * Math.cos(by) - s * Math.sin(by)];

  function set(changes) {
    Object.assign(now, changes);
    fit();
    show();
    tell();
  }

  function fit() {   // nothing stands beyond the last row or the last pair
    now.pair = Math.max(0, Math.min(count() - 1, now.pair));
    now.pos = Math.max(0, Math.min(positions() - 1, now.pos));
    now.k = Math.max(0, Math.min(positions() - 1 - now.pos, now.k));
  }

  // ---- the picture ----
  const TALL = 1240, FLAT = 560;

  function paint(ctx, w, h) {
    const wanted = w < 620 ? TALL : FLAT;
    if (h !== wanted) view.canvas.style.height = `${wanted}px`;   // comes back here with the new size
    else if (spec) draw(plot.onCanvas(ctx), w, h);
  }

  function layout(w) {
    const narrow = w < 620, left = 46, top = 34;
    const matrix = { x: left, y: top, w: narrow ? w - left - 6 : w * 0.46 - left - 10 };
    matrix.h = narrow ? 380 : FLAT - top - 62;
    const right = narrow ? 0 : w * 0.46 + 26, wide = narrow ? w : w - right;
    const r = narrow ? 84 : Math.min(112, wide * 0.19), y = narrow ? matrix.y + matrix.h + 78 : top;
    const dial = { x: narrow ? w / 2 : right + r + 8, y: y + r + 8, r };
    const rotation = narrow ? { x: 6, y: y + 2 * r + 50, w: w - 12 }
      : { x: dial.x + r + 34, y: y + 26, w: w - dial.x - r - 34 };
    const wave = { x: right + 40, y: narrow ? rotation.y + 240 : y + 2 * r + 74, w: wide - 50 };
    wave.h = (narrow ? TALL - 56 : FLAT - 62) - wave.y;
    return { narrow, matrix, dial, rotation, wave };
  }

  function draw(p, w) {
    const box = layout(w);
    heat(p, box.matrix);
    dial(p, box.dial);
    rotation(p, box.rotation);
    waves(p, box.wave);
  }

  const heading = (p, x, y, text) => p.text(x, y, text, { fill: c.ink, family: plot.SANS, size: 16, weight: 600 });

  function heat(p, box) {
    const cw = box.w / d(), ch = box.h / positions();
    const long = "PE: a row for each position; rust is +1, blue −1";
    heading(p, box.x, box.y - 12, box.w > 420 ? long : "PE: rust is +1, blue −1");
    p.matrix(PE(), positions(), d(), box.x, box.y, box.w, box.h, map, -1, 1);
    p.rect(box.x, box.y, box.w, box.h, { stroke: c.line });
    for (const col of columns(now.pair)) {
      p.rect(box.x + col * cw - 1, box.y - 1, Math.max(cw, 3) + 2, box.h + 2, { stroke: c.ink });
      p.rect(box.x + col * cw - 2, box.y - 2, Math.max(cw, 3) + 4, box.h + 4, { stroke: c.ink });
    }
    for (const [row, fill] of [[now.pos, c.residual], [now.pos + now.k, c.ink]]) {
      const y = box.y + (row + 0.5) * ch;
      p.line([[box.x, y], [box.x + box.w, y]], { stroke: fill, lineWidth: 2 });
      p.circle(box.x, y, 4.5, { fill });
    }
    const step = positions() > 64 ? 16 : 8;
    for (let row = 0; row < positions(); row += step) {
      p.text(box.x - 9, box.y + (row + 0.5) * ch + 4, String(row), { fill: c.muted, anchor: "end", size: 12 });
    }
    const every = Math.max(1, d() / 8);
    for (let col = 0; col < d(); col += every) {
      p.text(box.x + (col + 0.5) * cw, box.y + box.h + 18, String(col), { fill: c.muted, anchor: "middle", size: 12 });
    }
    const order = now.layout ? "all sines, then all cosines" : "sine, cosine, sine, cosine …";
    p.text(box.x + box.w / 2, box.y + box.h + 40, `dimension: ${order}`,
      { fill: c.ink, anchor: "middle", family: plot.SANS, size: 14 });
  }

  function hand(p, { x, y, r }, angle, stroke, lineWidth) {
    const tip = [x + r * Math.cos(angle), y - r * Math.sin(angle)];
    p.line([[x, y], tip], { stroke, lineWidth });
    p.circle(...tip, 6, { fill: stroke });
    return tip;
  }

  function dial(p, box) {
    const { x, y, r } = box, from = now.pos * theta(now.pair), by = now.k * theta(now.pair);
    p.circle(x, y, r, { stroke: c.line, lineWidth: 1.5, fill: c.panel });
    p.line([[x - r, y], [x + r, y]], { stroke: c.line });
    p.line([[x, y - r], [x, y + r]], { stroke: c.line });
    p.text(x + r - 2, y - 6, "cos", { fill: c.muted, size: 12, anchor: "end" });
    p.text(x + 6, y - r + 15, "sin", { fill: c.muted, size: 12 });
    const points = [], steps = Math.max(6, Math.min(300, Math.ceil(Math.abs(by) * 14)));
    const seen = Math.min(by, 10 * Math.PI);
    for (let i = 0; i <= steps; i++) {
      const phi = from + by - seen + seen * i / steps, rr = r * 0.5 * (1 - 0.03 * seen / Math.PI * (1 - i / steps));
      points.push([x + rr * Math.cos(phi), y - rr * Math.sin(phi)]);
    }
    p.line(points, { stroke: c.positive, lineWidth: 3 });
    hand(p, box, from, c.residual, 3);
    hand(p, box, from + by, c.ink, 4);
    p.circle(x, y, 4, { fill: c.ink });
  }

  function rotation(p, box) {
    const { x, y } = box;
    const th = theta(now.pair), by = now.k * th, to = now.pos + now.k, size = Math.min(15, box.w / 19.5);
    const text = (line, string, fill = c.ink, weight = 400) => p.text(x, y + line * 23, string, { fill, size, weight });
    p.text(x, y - 10, `Pair ${now.pair} turns by k·θ`, { fill: c.ink, family: plot.SANS, size: 16, weight: 600 });
    text(1, `θ = ${gf.number(th)}`);
    text(2, `kθ = ${gf.number(by)} rad`, c.positive, 600);
    const row = (values) => values.map((v) => num(v).padStart(7)).join(" "), name = `R(${now.k}) = `;
    text(3.3, `${name}⎛ ${row([Math.cos(by), Math.sin(by)])} ⎞`);
    text(4.3, `${" ".repeat(name.length)}⎝ ${row([-Math.sin(by), Math.cos(by)])} ⎠`);
    const lines = [`●PE(${now.pos})`, `●PE(${to})`, ` R·PE(${now.pos})`];
    const wide = Math.max(...lines.map((line) => line.length));
    [at(now.pos), at(to), turned(at(now.pos), by)].forEach((pair, i) => text(5.8 + i,
      `${lines[i].padEnd(wide)} (${pair.map(num).join(", ")})`, i ? c.ink : c.residual, i < 2 ? 600 : 400));
  }

  function waves(p, box) {
    const x = plot.scale(0, positions() - 1, box.x, box.x + box.w), y = plot.scale(-1.12, 1.12, box.y + box.h, box.y);
    const wave = 2 * Math.PI / theta(now.pair);
    const once = box.w > 420 ? "Its two waves: once" : "Once";
    heading(p, box.x, box.y - 12, `${once} round in ${gf.number(wave)} positions`);
    plot.frame(p, c, box, x, y, { xLabel: "position", countX: box.w < 400 ? 4 : 8, countY: 3 });
    const dense = Math.min(1, wave / 12), lines = [[], []];
    for (let t = 0; t <= positions() - 1; t += dense) {
      lines[0].push([x(t), y(Math.sin(t * theta(now.pair)))]);
      lines[1].push([x(t), y(Math.cos(t * theta(now.pair)))]);
    }
    p.line(lines[1], { stroke: c.muted, lineWidth: 2, dash: [6, 4] });
    p.line(lines[0], { stroke: c.muted, lineWidth: 2.5 });
    for (let pos = 0; pos < positions() && box.w / positions() > 3.5; pos++) {
      at(pos).forEach((v) => p.circle(x(pos), y(v), 1.8, { fill: c.muted }));
    }
    for (const [pos, fill] of [[now.pos, c.residual], [now.pos + now.k, c.ink]]) {
      p.line([[x(pos), box.y], [x(pos), box.y + box.h]], { stroke: fill, opacity: 0.6 });
      at(pos).forEach((v) => p.circle(x(pos), y(v), 5.5, { fill, stroke: c.background }));
    }
    p.text(box.x + box.w, box.y - 12, "— sin  - - cos", { fill: c.muted, size: 13, anchor: "end" });
  }

  // ---- what the learner does ----
  function show() {
    const texts = { pos: Array.from({ length: positions() }, (_, i) => String(i)), k: ks(),
      pair: Array.from({ length: count() }, (_, i) => String(i)), d: spec.d.values.map(String),
      base: spec.base.values.map((v) => plot.tick(v)) };
    const labels = { pos: "Position", k: "Shift k", pair: "Pair i", d: "Width d", base: "Base" };
    for (const name of NAMES) {
      sliders[name].element.firstChild.textContent = labels[name];
      sliders[name].set(texts[name], now[name]);
    }
    layouts.set(spec.layouts.label, spec.layouts.values, spec.layouts.values[now.layout]);
    const by = now.k * theta(now.pair), to = now.pos + now.k, bold = document.createElement("b");
    const word = (pos) => (pos < spec.words.length ? ` (here stands “${spec.words[pos]}”)` : "");
    const wave = gf.number(2 * Math.PI / theta(now.pair)), product = turned(at(now.pos), by).map(num).join(", ");
    bold.textContent = `Pair ${now.pair}: θ = ${gf.number(theta(now.pair))}, once round in ${wave} positions`;
    sum.replaceChildren(bold, `\nR(${now.k}) · PE(${now.pos})${word(now.pos)} = (${product}); `
      + `PE(${to})${word(to)} = (${at(to).map(num).join(", ")})`);
    view.redraw();
  }

  function tell() {   // once the learner has settled
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, pos: now.pos, k: now.k, pair: now.pair,
      d: d(), base: spec.base.values[now.base], layout: spec.layouts.values[now.layout] }), 250);
  }

  function point(event, start) {
    const rect = view.canvas.getBoundingClientRect(), box = layout(rect.width);
    const px = event.clientX - rect.left, py = event.clientY - rect.top, m = box.matrix, v = box.wave;
    const row = Math.floor((py - m.y) / m.h * positions()), col = Math.floor((px - m.x) / m.w * d());
    if (start && row >= 0 && row < positions() && col >= 0 && col < d()) {
      set({ pos: row, pair: now.layout ? col % count() : Math.floor(col / 2) });
    } else if (px >= v.x - 8 && px <= v.x + v.w + 8 && py >= v.y - 6 && py <= v.y + v.h + 6) {
      held = true;
      set({ pos: Math.round((px - v.x) / v.w * (positions() - 1)) });
    }
  }
  view.canvas.addEventListener("pointerdown", (event) => spec && point(event, true));
  view.canvas.addEventListener("pointermove", (event) => { if (held) point(event, false); });
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
    view.canvas.addEventListener(type, () => { held = false; });
  }
  const arrow = (by) => (event) => set(event.shiftKey ? { k: now.k + by } : { pos: now.pos + by });
  gf.keys(view.canvas, { ArrowLeft: arrow(-1), ArrowRight: arrow(1), ArrowUp: () => set({ pair: now.pair - 1 }),
    ArrowDown: () => set({ pair: now.pair + 1 }), Home: () => set({ pos: 0 }) });

  return {
    update(component) {
      send = component;
      const kept = spec && spec.epoch;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      map = gf.diverging(root);
      if (kept !== spec.epoch) {
        clearTimeout(waiting);
        Object.assign(now, { pos: spec.pos, k: spec.k, pair: spec.pair, d: spec.d.values.indexOf(spec.d.at),
          base: spec.base.values.indexOf(spec.base.at), layout: spec.layouts.values.indexOf(spec.layouts.at) });
      }
      fit();
      view.canvas.setAttribute("aria-label", spec.label);
      show();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
