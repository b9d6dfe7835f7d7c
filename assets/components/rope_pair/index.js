/* RoPE at work on one real query and one real key: the big dial shows one pair of coordinates, the wall of dials all of
   them, the ruler where the two tokens stand, and the curve what the score is at any distance.

   The words keep their vectors; only their places change. Drag the tags on the ruler, drag the grip between them to
   move both, drag on the curve, click a dial. Keys: ← → the query, Shift ← → both, ↑ ↓ the pair, space walks both. The
   sliders above choose layer, head and words, those below the base of the speeds and how far the positions go.
   Data: charts/rope.py. Angles are m·θ_i with the server's θ, and a score is what the turned hands add up to, on the
   curve as in the dials. Only layers near the chosen one are here; another is drawn as soon as the server sent it.
   Reports: stand {layer, head, query, key, m, n, pair, base, reach}, where the learner left them, with
   the epoch of the message that it answers to. */
export default (component) => gf.mount(component, (root, first) => {
  let d = null, c = null, tint = null, send = first, walk = 0, held = null;
  let m = 0, n = 0, pair = 0, parts = [], known = { of: "" };
  let waiting = 0, depth = 0;   // depth: which of the layers that are here is drawn
  const NAMES = ["layer", "head", "query", "key", "base", "reach"], now = {}, sliders = {};   // now: index of what is chosen
  for (const name of NAMES) sliders[name] = plot.scrubber("", (i) => pick(name, i));
  const view = gf.canvas(root, { label: "", draw: paint });
  const tip = gf.tooltip(view.wrap);
  const above = document.createElement("div"), below = document.createElement("div");
  above.className = below.className = "sliders";
  above.append(...NAMES.slice(0, 4).map((name) => sliders[name].element));
  below.append(...NAMES.slice(4).map((name) => sliders[name].element));
  root.prepend(above);
  const words = document.createElement("div"), bar = document.createElement("div");
  words.className = "words";
  words.setAttribute("role", "status");
  bar.className = "bar";
  const play = gf.button("▶ Walk both on", () => toggle(), { label: "Move both tokens on together", pressed: false });
  bar.append(play, gf.button("◂ Query nearer", () => place(m - 1, n), { label: "Move the query one position nearer" }),
    gf.button("Query farther ▸", () => place(m + 1, n), { label: "Move the query one position farther" }),
    gf.button("Back to the text", () => place(...home()), { label: "Both tokens where the text has them" }));
  const { tools } = plot.foot(view, () => "rope", () => plot.saveSvg("rope.svg", view.size(), c.background, draw));
  bar.append(tools);
  root.append(words, below, bar);

  function vector(x, head, word, i) {   // pair i of one word, in Q [layer, head, word, pair, 2] or K, which heads may share
    const [, heads, count, pairs] = x.shape, shared = Math.floor(head * heads / d.arrays.Q.shape[1]);
    const from = 2 * (((depth * heads + shared) * count + word) * pairs + i);
    return [x[from], x[from + 1]];
  }
  const Q = (i) => vector(d.arrays.Q, now.head, now.query, i), K = (i) => vector(d.arrays.K, now.head, now.key, i);
  const turn = ([a, b], by) => [a * Math.cos(by) - b * Math.sin(by), a * Math.sin(by) + b * Math.cos(by)];
  const count = () => d.arrays.theta.shape[1];   // [base, pair]
  const theta = (i) => d.arrays.theta[now.base * count() + i];
  const chosen = (name) => d.choices[name].values[now[name]];
  const reach = () => chosen("reach");
  const home = () => [d.first + now.query, d.first + now.key];   // where the text has the two words
  const num = (v, digits = 3) => v.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
  const size = ([a, b]) => Math.hypot(a, b);
  const clipped = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

  function part(i, at = m, from = n) {   // what pair i adds to the score, from the turned hands themselves
    const [qa, qb] = turn(Q(i), at * theta(i)), [ka, kb] = turn(K(i), from * theta(i));
    return (qa * ka + qb * kb) * d.scale;
  }

  function compute() {
    parts = Array.from({ length: count() }, (_, i) => part(i));
    return parts.reduce((a, b) => a + b, 0);
  }

  function scores() {   // at every distance, and the range that holds them under every base: moving that moves no axis
    const of = [depth, ...NAMES.slice(1).map((name) => now[name])].join();
    if (known.of === of) return known;
    const sum = (theta, to) => {   // Re Σ q̃ k̃* e^{irθ}, from the hands as they are not yet turned
      const found = new Float64Array(to + 1);
      for (let i = 0; i < count(); i++) {
        const [qa, qb] = Q(i), [ka, kb] = K(i), like = (qa * ka + qb * kb) * d.scale, unlike = (qa * kb - qb * ka) * d.scale;
        for (let r = 0; r <= to; r++) found[r] += like * Math.cos(r * theta(i)) + unlike * Math.sin(r * theta(i));
      }
      return found;
    };
    const found = sum(theta, reach());
    const others = d.choices.base.values.map((_, b) => sum((i) => d.arrays.theta[b * count() + i], Math.min(reach(), 64)));
    const all = [0, ...found, ...others.flatMap((one) => Array.from(one))];
    const lo = all.reduce((a, b) => Math.min(a, b)), hi = all.reduce((a, b) => Math.max(a, b)), air = (hi - lo || 1) * 0.06;
    known = { of, all: found, lo: lo - air, hi: hi + air };
    return known;
  }

  // ---- where everything stands ----
  const TALL = 900, FLAT = 520;   // heights of the canvas: everything below each other on a phone, else two columns

  function layout(w, h) {
    const narrow = w < 620, side = narrow ? Math.min(w - 30, 320) : Math.min(w * 0.46, 370);
    const cols = count() > 32 ? 16 : 8, rows = Math.ceil(count() / cols), left = narrow ? 0 : side + 40;
    const wall = { x: left, y: narrow ? side + 80 : 30, cols };
    wall.cell = Math.min((w - left) / cols, narrow ? 60 : 176 / Math.max(rows, 2), 74);
    wall.h = wall.cell * rows;
    if (narrow) wall.x = (w - wall.cell * cols) / 2;
    const ruler = { x: 58, w: w - 58 - 18, y: narrow ? wall.y + wall.h + 10 : h - 112, h: 112 };
    const curve = { x: left + 40, w: w - left - 40 - 10, y: narrow ? ruler.y + ruler.h + 36 : wall.y + wall.h + 40 };
    curve.h = (narrow ? h - 48 : ruler.y - 52) - curve.y;
    const dial = { x: narrow ? w / 2 : side / 2 + 4, y: side / 2 + 30, r: side / 2 - 6 };
    return { narrow, dial, wall, ruler, curve };
  }

  const along = (box) => plot.scale(0, reach(), box.x, box.x + box.w);

  function paint(ctx, w, h) {
    const wanted = w < 620 ? TALL : FLAT;
    if (h !== wanted) view.canvas.style.height = `${wanted}px`;   // comes back here with the new size
    else if (d) draw(plot.onCanvas(ctx), w, h);
  }

  function draw(p, w, h) {
    const at = layout(w, h), score = compute();
    bigDial(p, at);
    wall(p, at.wall);
    ruler(p, at.ruler, w);
    graph(p, at.curve, score);
  }

  function hand(p, x, y, [a, b], length, { stroke, lineWidth, dash, opacity = 1, head = true }) {
    const s = size([a, b]) || 1, ux = a / s, uy = -b / s, tipX = x + ux * length, tipY = y + uy * length;
    const neck = head && length > 16 ? 11 : 0;
    p.line([[x, y], [tipX - ux * neck, tipY - uy * neck]], { stroke, lineWidth, dash, opacity });
    if (neck) {
      p.area([[tipX, tipY], [tipX - ux * 14 - uy * 6.5, tipY - uy * 14 + ux * 6.5],
        [tipX - ux * 14 + uy * 6.5, tipY - uy * 14 - ux * 6.5]], { fill: stroke, opacity });
    }
    return [tipX, tipY];
  }

  function arc(x, y, r, from, angle) {   // the way a hand has turned, a spiral where it is more than once
    const points = [], steps = Math.max(8, Math.min(400, Math.ceil(Math.abs(angle) * 12)));
    const total = Math.max(-12 * Math.PI, Math.min(12 * Math.PI, angle));
    for (let i = 0; i <= steps; i++) {
      const phi = from + angle - total + total * i / steps, rr = r * (1 - 0.012 * Math.abs(total) * (1 - i / steps));
      points.push([x + rr * Math.cos(phi), y - rr * Math.sin(phi)]);
    }
    return points;
  }

  function heading(p, x, y, text, size = 15) {
    p.text(x, y, text, { fill: c.ink, family: plot.SANS, size, weight: 600 });
  }

  function bigDial(p, { dial: { x, y, r } }) {
    const q = Q(pair), k = K(pair), most = Math.max(size(q), size(k)) || 1;
    const qm = turn(q, m * theta(pair)), kn = turn(k, n * theta(pair));
    heading(p, x - r, y - r - 14, `Pair ${pair} (of ${count()})`);
    p.circle(x, y, r, { stroke: c.line, lineWidth: 1.5, fill: c.panel });
    p.line([[x - r, y], [x + r, y]], { stroke: c.line });
    p.line([[x, y - r], [x, y + r]], { stroke: c.line });
    const R = r * 0.86, ql = R * size(q) / most, kl = R * size(k) / most;
    const between = arcBetween(kn, qm);
    p.area([[x, y], ...arc(x, y, r * 0.3, between.from, between.by), [x, y]], { fill: c.scores, opacity: 0.35 });
    const way = { opacity: 0.5, lineWidth: 1.5 };
    p.line(arc(x, y, Math.max(ql * 0.72, 12), Math.atan2(q[1], q[0]), m * theta(pair)), { stroke: c.query, ...way });
    p.line(arc(x, y, Math.max(kl * 0.56, 10), Math.atan2(k[1], k[0]), n * theta(pair)), { stroke: c.key, ...way });
    hand(p, x, y, q, ql, { stroke: c.query, lineWidth: 2, dash: [3, 5], opacity: 0.6, head: false });
    hand(p, x, y, k, kl, { stroke: c.key, lineWidth: 2, dash: [3, 5], opacity: 0.6, head: false });
    const kt = hand(p, x, y, kn, kl, { stroke: c.key, lineWidth: 4 });
    const qt = hand(p, x, y, qm, ql, { stroke: c.query, lineWidth: 4 });
    p.circle(x, y, 4, { fill: c.ink });
    label(p, qt, x, y, r, "q", c.query);
    label(p, kt, x, y, r, "k", c.key);
  }

  function arcBetween([ka, kb], [qa, qb]) {
    const from = Math.atan2(kb, ka);
    let by = Math.atan2(qb, qa) - from;
    by -= 2 * Math.PI * Math.round(by / (2 * Math.PI));
    return { from, by };
  }

  function label(p, [tx, ty], x, y, r, text, fill) {
    const s = Math.hypot(tx - x, ty - y) || 1, out = Math.min(s + 14, r - 8);
    p.text(x + (tx - x) / s * out, y + (ty - y) / s * out + 6, text, { fill, size: 18, anchor: "middle", weight: 700 });
  }

  function wall(p, { x, y, cell, cols }) {
    const most = Math.max(...parts.map(Math.abs), 1e-9);
    heading(p, x + 4, y - 14, "All pairs, fast to slow; rust adds to the score, blue takes away", cell < 50 ? 13 : 15);
    for (let i = 0; i < count(); i++) {
      const cx = x + (i % cols + 0.5) * cell, cy = y + (Math.floor(i / cols) + 0.5) * cell, r = cell / 2 - 4;
      p.circle(cx, cy, r, { fill: tint(0.5 + 0.42 * parts[i] / most), stroke: i === pair ? c.ink : c.line,
        lineWidth: i === pair ? 3 : 1 });
      hand(p, cx, cy, turn(K(i), n * theta(i)), r * 0.8, { stroke: c.key, lineWidth: 2.25, head: false });
      hand(p, cx, cy, turn(Q(i), m * theta(i)), r * 0.8, { stroke: c.query, lineWidth: 2.25, head: false });
    }
  }

  function grips(box, w) {
    const x = along(box), middle = (x(m) + x(n)) / 2, wide = 176;
    return { q: x(m), k: x(n), both: Math.max(box.x + wide / 2 - 40, Math.min(w - wide / 2 - 4, middle)), wide };
  }

  function tag(p, x, y, text, fill, w) {
    const wide = 8 * text.length + 18, left = Math.max(2, Math.min(w - wide - 2, x - wide / 2));
    p.rect(left, y, wide, 26, { fill, radius: 7 });
    p.text(left + wide / 2, y + 18, text, { fill: c.background, anchor: "middle", size: 14, weight: 600 });
  }

  function ruler(p, box, w) {
    const x = along(box), axis = box.y + 42, grip = grips(box, w);
    p.line([[box.x, axis], [box.x + box.w, axis]], { stroke: c.muted, lineWidth: 1.5 });
    for (const value of plot.ticks(0, reach(), box.w < 400 ? 4 : 8)) {
      p.line([[x(value), axis - 4], [x(value), axis + 4]], { stroke: c.muted });
      p.text(x(value), axis + 18, plot.tick(value), { fill: c.muted, anchor: "middle", size: 12 });
    }
    p.line([[grip.k, axis], [grip.q, axis]], { stroke: c.scores, lineWidth: 7 });
    p.line([[grip.q, axis], [grip.q, box.y + 26]], { stroke: c.query, lineWidth: 2 });
    p.line([[grip.k, axis], [grip.k, box.y + 56]], { stroke: c.key, lineWidth: 2 });
    p.circle(grip.q, axis, 5, { fill: c.query });
    p.circle(grip.k, axis, 5, { fill: c.key });
    tag(p, grip.q, box.y, `q ${clipped(d.words[now.query])} · m = ${Math.round(m)}`, c.query, w);
    tag(p, grip.k, box.y + 56, `k ${clipped(d.words[now.key])} · n = ${Math.round(n)}`, c.key, w);
    p.rect(grip.both - grip.wide / 2, box.y + 88, grip.wide, 24, { stroke: c.scores, fill: c.background, radius: 12 });
    p.text(grip.both, box.y + 105, `⇔ both · m − n = ${Math.round(m - n)}`,
      { fill: c.ink, anchor: "middle", size: 14 });
    p.text(box.x - 10, axis + 4, "position", { fill: c.muted, anchor: "end", family: plot.SANS, size: 12 });
  }

  function graph(p, box, score) {
    const x = along(box), most = 1.05 * size(Q(pair)) * size(K(pair)) * d.scale;
    const line = scores(), y = plot.scale(Math.min(line.lo, -most), Math.max(line.hi, most), box.y + box.h, box.y);
    plot.frame(p, c, box, x, y, { xLabel: "distance m − n", countX: box.w < 400 ? 4 : 8, countY: 3 });
    heading(p, box.x, box.y - 11, "Score at every distance");
    const own = [], all = [], far = reach(), step = Math.max(1, Math.floor(far / 600));
    for (let r = 0; r <= far; r += far > 600 ? step : 0.25) own.push([x(r), y(part(pair, r, 0))]);
    for (let r = 0; r <= far; r++) all.push([x(r), y(line.all[r])]);
    p.line(own, { stroke: c.muted, lineWidth: 1.5, dash: [5, 4] });
    p.line(all, { stroke: c.scores, lineWidth: 3.5 });
    if (far <= 64 && box.w > 300) for (const [px, py] of all) p.circle(px, py, 2.5, { fill: c.scores });
    p.line([[x(m - n), box.y], [x(m - n), box.y + box.h]], { stroke: c.ink, opacity: 0.5 });
    p.circle(x(m - n), y(score), 7, { fill: c.attention, stroke: c.background, lineWidth: 2 });
    const text = `S = ${num(score)}`, wide = 9.7 * text.length + 12, right = x(m - n) > box.x + box.w - wide - 16;
    const left = x(m - n) + (right ? -wide - 11 : 11);
    const top = Math.max(box.y + 2, Math.min(box.y + box.h - 26, y(score) - 30));
    p.rect(left, top, wide, 24, { fill: c.background, opacity: 0.88, radius: 6 });
    p.text(left + 6, top + 18, text, { fill: c.ink, size: 16, weight: 700 });
    p.text(box.x + box.w, box.y - 11, "- - this pair alone",
      { fill: c.muted, family: plot.SANS, size: 14, anchor: "end" });
  }

  // ---- what the learner does ----
  function place(newM, newN, settle = true) {
    const whole = settle ? Math.round : (v) => v;
    n = Math.max(0, Math.min(reach(), whole(newN)));
    m = Math.max(n, Math.min(reach(), whole(newM)));   // a decoder's query never stands before its key
    show();
    if (settle) tell();
  }

  function shift(by, settle = true) {
    const step = Math.max(-n, Math.min(reach() - m, by));
    place(m + step, n + step, settle);
  }

  function tell() {   // once the learner has settled
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, m: Math.round(m), n: Math.round(n), pair,
      ...Object.fromEntries(NAMES.map((name) => [name, chosen(name)])) }), 250);
  }

  function pick(name, i) {
    if (walk) stop();
    now[name] = i;
    if (name === "layer" && !d.held.includes(chosen("layer"))) return tell();   // it comes with the next message
    reachLayer();
    now.key = Math.min(now.key, now.query);   // a decoder's query finds no key after it
    for (const one of ["query", "key"]) slide(one);
    if (name === "query" || name === "key") [m, n] = home();   // other words stand where their text has them
    fit();
    show();
    tell();
  }

  function reachLayer() {
    depth = Math.max(0, d.held.indexOf(chosen("layer")));
  }

  function slide(name) {
    const { label, values } = d.choices[name];
    sliders[name].element.firstChild.textContent = label;
    sliders[name].set(values.map((one) => (typeof one === "number" ? plot.tick(one) : one)), now[name]);
  }

  function fit() {   // into the positions that are shown
    while (Math.max(...home()) > reach() && now.reach < d.choices.reach.values.length - 1) now.reach += 1;
    slide("reach");
    m = Math.min(m, reach());
    n = Math.min(n, m);
  }

  function choose(i) {
    pair = (i + count()) % count();
    show();
    tell();
  }

  function show() {
    const score = compute(), t = theta(pair), takes = gf.number(2 * Math.PI / t), lines = [
      ["q", `turned by m·θ = ${num(m, 0)} × ${gf.number(t)} = ${num(m * t, 2)} rad`, "query"],
      ["k", `turned by n·θ = ${num(n, 0)} × ${gf.number(t)} = ${num(n * t, 2)} rad`, "key"],
      ["pair", `${pair}: one turn takes ${takes} positions; it adds ${num(parts[pair])} to the score`, "muted"],
      ["S", `= sum of ${count()} pairs = ${num(score)} at distance m − n = ${num(m - n, 0)}`, "scores"],
    ];
    words.replaceChildren(...lines.map(([name, text, role]) => {
      const row = document.createElement("div"), mark = document.createElement("b");
      mark.style.color = `var(--gf-${role})`;
      mark.textContent = `${name} `;
      row.append(mark, text);
      return row;
    }));
    view.canvas.setAttribute("aria-label", `${d.label} Layer ${chosen("layer")}, head ${chosen("head")}, ${chosen("query")} and ${chosen("key")}. ${lines.map(([a, b]) => `${a} ${b}`).join("; ")}`);
    view.redraw();
  }

  function toggle() {
    if (walk) return stop();
    play.setAttribute("aria-pressed", "true");
    play.textContent = "❚❚ Stop";
    const from = { m, n }, room = reach() - m, far = Math.max(0, Math.min(room, reach() / 2));
    const ms = 9000;
    if (!far) place(m - n, 0, false);
    walk = gf.animate(ms, (_, t) => {
      const by = (far || reach() / 2) * t, start = far ? from : { m: from.m - from.n, n: 0 };
      place(start.m + by, start.n + by, false);
    }, stop);
    if (!walk.running) stop();
  }

  function stop() {
    if (walk) walk.stop();
    walk = 0;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ Walk both on";
    const r = Math.round(m - n), at = Math.round(n);
    place(at + r, at);
  }

  function hit(event) {
    const rect = view.canvas.getBoundingClientRect(), x = event.clientX - rect.left, y = event.clientY - rect.top;
    const at = layout(rect.width, rect.height), w = at.wall;
    const col = Math.floor((x - w.x) / w.cell), row = Math.floor((y - w.y) / w.cell), i = row * w.cols + col;
    if (col >= 0 && col < w.cols && row >= 0 && i < count()) return { kind: "dial", i, x, y };
    if (y >= at.ruler.y - 4 && y <= at.ruler.y + at.ruler.h + 6) {
      const value = along(at.ruler).invert(x);
      if (y > at.ruler.y + 84) return { kind: "both", value, x, y };
      return { kind: y < at.ruler.y + 42 ? "q" : "k", value, x, y };
    }
    if (x >= at.curve.x - 20 && y >= at.curve.y - 8 && y <= at.curve.y + at.curve.h + 24) {
      return { kind: "curve", value: along(at.curve).invert(x), x, y };
    }
    return { kind: "none", x, y };
  }

  function drag(found) {
    if (held.kind === "q") place(found, n);
    if (held.kind === "k") { const r = Math.round(found); place(Math.max(m, r), r); }
    if (held.kind === "curve") place(n + Math.max(0, Math.min(reach() - n, found)), n);
    if (held.kind === "both") {
      shift(Math.round(found - held.value));
      held.value += Math.round(found - held.value);
    }
  }

  view.canvas.addEventListener("pointerdown", (event) => {
    if (!d) return;
    const found = hit(event);
    if (walk) stop();
    if (found.kind === "dial") choose(found.i);
    else if (found.kind !== "none") {
      held = found;
      view.canvas.setPointerCapture(event.pointerId);
      tip.hide();
      if (held.kind !== "both") drag(found.value);
    }
  });
  view.canvas.addEventListener("pointermove", (event) => {
    if (!d) return;
    const found = hit(event);
    if (held) {
      const rect = view.canvas.getBoundingClientRect(), at = layout(rect.width, rect.height);
      return drag(along(held.kind === "curve" ? at.curve : at.ruler).invert(event.clientX - rect.left));
    }
    view.canvas.style.cursor = { dial: "pointer", none: "default" }[found.kind] || "ew-resize";
    if (found.kind !== "dial") return tip.hide();
    const i = found.i, q = turn(Q(i), m * theta(i)), k = turn(K(i), n * theta(i));
    tip.show(found.x, found.y, [
      { text: `pair ${i}: θ = ${gf.number(theta(i))}, a turn in ${gf.number(2 * Math.PI / theta(i))} positions`,
        strong: true },
      { text: `q turned: (${num(q[0])}, ${num(q[1])})`, colour: c.query },
      { text: `k turned: (${num(k[0])}, ${num(k[1])})`, colour: c.key },
      `(${num(q[0])}·${num(k[0])} + ${num(q[1])}·${num(k[1])}) / √${d.d_head} = ${num(parts[i])}`,
    ]);
  });
  for (const type of ["pointerup", "pointercancel"]) view.canvas.addEventListener(type, () => { held = null; });
  view.canvas.addEventListener("pointerleave", () => tip.hide());
  const arrow = (by) => (event) => (event.shiftKey ? shift(by) : place(m + by, n));
  gf.keys(view.canvas, { ArrowLeft: arrow(-1), ArrowRight: arrow(1), ArrowUp: () => choose(pair - 1),
    ArrowDown: () => choose(pair + 1), " ": () => toggle(), Escape: () => (walk ? stop() : place(...home())) });

  return {
    update(component) {
      send = component;
      const before = d, was = before && Object.fromEntries(NAMES.map((name) => [name, chosen(name)]));
      d = gf.unpack(component.data);
      known = { of: "" };
      c = gf.colours(root);
      tint = gf.diverging(root);
      const kept = before && before.epoch === d.epoch;   // then places, pair and choices are the learner's
      for (const name of NAMES) {
        const { values, at: told } = d.choices[name];
        now[name] = values.indexOf(kept && values.includes(was[name]) ? was[name] : told);
        slide(name);
      }
      if (!kept) {
        if (walk) stop();
        clearTimeout(waiting);
        [m, n, pair] = [d.m, d.n, d.pair];
      }
      reachLayer();
      fit();
      pair = Math.min(pair, count() - 1);
      show();
    },
    destroy() { clearTimeout(waiting); if (walk) walk.stop(); view.destroy(); },
  };
});
