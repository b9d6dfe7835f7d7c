/* A query and a key by hand: two arrows on a grid, and behind them what the chosen score function gives every key.

   Drag either arrow's tip; it sits on points of the grid, so that each number is one that the library computed. Keys:
   arrows move k, with Shift q. The buttons choose whose field is drawn. Data: charts/scores.py: points [point, 2], and for
   each function S [query point, key point]. Reports: stand {epoch, pick, q, k}, points by number. */
export default (component) => gf.mount(component, (root, first) => {
  let d = null, c = null, map = null, pick = "", q = 0, k = 0, held = null, send = first, waiting = 0;
  const picks = plot.buttons((name) => { pick = name; read(); tell(); });
  root.append(picks.element);
  const { view, sum, tools, fit } = plot.picture(root, "two-vectors", (w) => d && layout(w), draw);
  root.append(sum, tools);

  const side = () => d.side, count = () => side() * side();
  const at = (i) => [d.arrays.points[2 * i], d.arrays.points[2 * i + 1]];
  const S = (name, i, j) => d.arrays[name][i * count() + j];
  const length = (i) => Math.sqrt(S("dot", i, i));   // ‖v‖ = √(v·v)
  const two = (v) => v.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
  const name_ = () => Object.keys(d.titles).find((one) => d.titles[one] === pick);

  function layout(w) {
    const narrow = w < 640, size = narrow ? Math.min(w - 16, 380) : Math.min(w * 0.54, 500);
    const x = narrow ? (w - size) / 2 : 8, y = 12, words = narrow ? { x: 4, y: size + 82, w } : { x: size + 56, y: 26, w: w - size - 60 };
    return { narrow, size, x, y, words, cell: size / side(), height: narrow ? words.y + 240 : size + 48 };
  }
  const place = (l, [a, b]) => [l.x + l.size / 2 + a / d.step * l.cell, l.y + l.size / 2 - b / d.step * l.cell];

  function arrow(p, l, i, stroke, text) {
    const [x0, y0] = place(l, [0, 0]), [x, y] = place(l, at(i)), s = Math.hypot(x - x0, y - y0);
    if (s > 1) {
      const ux = (x - x0) / s, uy = (y - y0) / s, shaft = [[x0, y0], [x - ux * 12, y - uy * 12]];
      p.line(shaft, { stroke: c.background, lineWidth: 9 });   // or it would drown in a field of its own colour
      p.circle(x, y, 13, { stroke: c.background, lineWidth: 6 });
      p.line(shaft, { stroke, lineWidth: 5 });
      p.area([[x, y], [x - ux * 18 - uy * 9, y - uy * 18 + ux * 9], [x - ux * 18 + uy * 9, y - uy * 18 - ux * 9]], { fill: stroke });
    }
    p.circle(x, y, 13, { stroke, lineWidth: 2 });
    const out = s > 1 ? 26 : 0, lx = x + (s > 1 ? (x - x0) / s : 0) * out, ly = y + (s > 1 ? (y - y0) / s : -1) * (out || 22);
    const tx = Math.max(l.x + 8, Math.min(l.x + l.size - 8, lx)), ty = Math.max(l.y + 16, Math.min(l.y + l.size - 4, ly + 7));
    p.circle(tx, ty - 6, 11, { fill: c.background });
    p.text(tx, ty, text, { fill: stroke, size: 21, anchor: "middle", weight: 700 });
  }

  function draw(p, l) {
    const name = name_(), values = d.arrays[name], most = d.top[name];
    for (let j = 0; j < count(); j++) {
      const [x, y] = place(l, at(j));
      p.rect(x - l.cell / 2, y - l.cell / 2, l.cell + 0.5, l.cell + 0.5, { fill: map(0.5 + 0.5 * values[q * count() + j] / most) });
    }
    const [x0, y0] = place(l, [0, 0]);
    p.line([[l.x, y0], [l.x + l.size, y0]], { stroke: c.muted, opacity: 0.6 });
    p.line([[x0, l.y], [x0, l.y + l.size]], { stroke: c.muted, opacity: 0.6 });
    angle(p, l);
    arrow(p, l, k, c.key, "k");
    arrow(p, l, q, c.query, "q");
    const wide = l.narrow ? 150 : 260, ly = l.y + l.size + 12;
    for (let i = 0; i < 60; i++) p.rect(l.x + i * wide / 60, ly, wide / 60 + 0.5, 9, { fill: map(i / 59) });
    [[0, `−${gf.number(most)}`, "start"], [0.5, "0", "middle"], [1, gf.number(most), "end"]].forEach(([t, text, anchor]) =>
      p.text(l.x + t * wide, ly + 23, text, { fill: c.muted, size: 12, anchor }));
    p.text(l.x + wide + 14, ly + 10, l.narrow ? "S for a key there" : "S for a key at that point", { fill: c.muted, family: plot.SANS, size: 14 });
    words(p, l.words, name);
  }

  function angle(p, l) {
    const a = at(q), b = at(k);
    if (!length(q) || !length(k)) return;
    const from = Math.atan2(b[1], b[0]);
    let by = Math.atan2(a[1], a[0]) - from;
    by -= 2 * Math.PI * Math.round(by / (2 * Math.PI));
    const [x0, y0] = place(l, [0, 0]), points = [];
    for (let i = 0; i <= 24; i++) points.push([x0 + 34 * Math.cos(from + by * i / 24), y0 - 34 * Math.sin(from + by * i / 24)]);
    p.line(points, { stroke: c.ink, lineWidth: 2.5 });
  }

  const degrees = () => (length(q) && length(k) ? Math.acos(Math.max(-1, Math.min(1, S("cosine", q, k)))) * 180 / Math.PI : NaN);

  function words(p, { x, y, w }, name) {
    const a = at(q), b = at(k), big = 17;
    p.text(x, y, `q = (${two(a[0])}, ${two(a[1])})`, { fill: c.query, size: big, weight: 700 });
    p.text(x, y + 25, `k = (${two(b[0])}, ${two(b[1])})`, { fill: c.key, size: big, weight: 700 });
    p.text(x, y + 52, `‖q‖ = ${two(length(q))}  ‖k‖ = ${two(length(k))}  angle ${Number.isNaN(degrees()) ? "–" : `${degrees().toFixed(0)}°`}`, { fill: c.ink, size: 15 });
    Object.entries(d.titles).forEach(([one, title], i) => {
      const row = y + 88 + 27 * i, mine = one === name, room = w - 226, v = S(one, q, k);
      p.text(x, row, title, { fill: mine ? c.ink : c.muted, family: plot.SANS, size: 16, weight: mine ? 700 : 400 });
      p.text(x + 172, row, two(v), { fill: mine ? c.attention : c.ink, size: 16, anchor: "end", weight: mine ? 700 : 400 });
      if (room > 60) {
        const zero = x + 188 + room / 2, long = Math.max(-1, Math.min(1, v / d.top[one])) * room / 2;
        p.rect(Math.min(zero, zero + long), row - 11, Math.max(1, Math.abs(long)), 12, { fill: gf.mix(c.background, c.scores, mine ? 1 : 0.45) });
        p.line([[zero, row - 14], [zero, row + 4]], { stroke: c.muted });
      }
    });
  }

  function read() {
    const name = name_(), v = S(name, q, k);
    sum.textContent = {
      dot: () => `q·k = ‖q‖ ‖k‖ cos θ = ${two(length(q))} × ${two(length(k))} × ${two(S("cosine", q, k))} = ${two(v)}`,
      scaled_dot: () => `q·k / √2 = ${two(S("dot", q, k))} / 1.41 = ${two(v)}`,
      cosine: () => `cos θ = q·k / (‖q‖ ‖k‖) = ${two(v)}: lengths do not count`,
      general: () => `q W k with W a quarter turn = ${two(v)}: the best key stands at a right angle`,
      additive: () => `tanh(q₁ + k₁) + tanh(q₂ + k₂) = ${two(v)}: it saturates, and is not 0 at right angles`,
      location: () => `w·q = ${two(v)}, whatever k is: the field is flat`,
    }[name]();
    view.canvas.setAttribute("aria-label", `${d.label} q = (${two(at(q)[0])}, ${two(at(q)[1])}), k = (${two(at(k)[0])}, ${two(at(k)[1])}). ${sum.textContent}`);
    view.redraw();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, pick, q, k }), 250);
  }

  function nearest(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width), half = (side() - 1) / 2;
    const clip = (v) => Math.max(-half, Math.min(half, Math.round(v)));
    const col = clip((event.clientX - rect.left - l.x - l.size / 2) / l.cell), row = clip((l.y + l.size / 2 - event.clientY + rect.top) / l.cell);
    const inside = event.clientX - rect.left <= l.x + l.size + 6 && event.clientY - rect.top <= l.y + l.size + 6;
    return { i: (row + half) * side() + col + half, inside };
  }

  function move(which, i) {
    if (which === "q") q = i; else k = i;
    read();
  }

  view.canvas.addEventListener("pointerdown", (event) => {
    if (!d) return;
    const { i, inside } = nearest(event);
    if (!inside) return;
    const far = (j) => Math.hypot(at(j)[0] - at(i)[0], at(j)[1] - at(i)[1]);
    held = far(q) < far(k) ? "q" : "k";
    view.canvas.setPointerCapture(event.pointerId);
    move(held, i);
  });
  view.canvas.addEventListener("pointermove", (event) => { if (held) move(held, nearest(event).i); });
  for (const type of ["pointerup", "pointercancel"]) view.canvas.addEventListener(type, () => { if (held) { held = null; tell(); } });

  const step = (dx, dy) => (event) => {
    const i = event.shiftKey ? q : k, col = i % side() + dx, row = Math.floor(i / side()) + dy;
    if (col < 0 || row < 0 || col >= side() || row >= side()) return;
    move(event.shiftKey ? "q" : "k", row * side() + col);
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: step(-1, 0), ArrowRight: step(1, 0), ArrowUp: step(0, 1), ArrowDown: step(0, -1) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      map = gf.diverging(root);
      if (!old || old.epoch !== d.epoch) {   // otherwise all three are the learner's
        clearTimeout(waiting);
        pick = d.picks.at;
        [q, k] = [d.q, d.k];
      }
      picks.set(d.picks.label, d.picks.values, pick);
      fit();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
