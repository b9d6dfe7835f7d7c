/* Which query head reads which key/value head, in real tensors: each query head is its map A, each key/value head its K
   and V [token, d_head]. The slider sets how many key/value heads there are; maps, keys and lines follow at once. A click
   (or ← →) chooses a query head, shown large; ↑ ↓ or hover choose the cell whose score is spelt out.
   Data: charts/heads.py, one set of arrays for each number of heads. Reports: stand {epoch, heads, head}. */
export default (component) => gf.mount(component, (root, first) => {
  let d = null, c = null, maps = null, at = 0, head = 0, cell = null, hover = null, send = first, waiting = 0;
  const slider = plot.scrubber("", (i) => { at = i; read(); tell(); });
  root.append(slider.element);
  const { view, sum, tools, fit } = plot.picture(root, "shared-heads", (w) => d && layout(w), draw);
  const tip = gf.tooltip(view.wrap);
  root.append(sum, tools);

  const h = () => d.heads, n = () => d.tokens.length, kv = (i = at) => d.choices.values[i];
  const group = (q, i = at) => Math.floor(q / (h() / kv(i)));
  const token = (i) => gf.chipText(d.tokens[i]);
  const named = (i) => { const v = kv(i), own = v === d.own ? ", as trained" : ""; return `${v}${v === h() ? " · MHA" : v === 1 ? " · MQA" : " · GQA"}${own}`; };
  const part = (name, i = at) => d.arrays[`${name}${kv(i)}`];
  const rows = (name, block, i = at) => { const a = part(name, i), size = a.shape[1] * a.shape[2]; return a.subarray(block * size, (block + 1) * size); };

  function score(q, i, j) {
    const Q = d.arrays.Q.subarray(q * n() * d.d_head), K = rows("K", group(q));
    let s = 0;
    for (let k = 0; k < d.d_head; k++) s += Q[i * d.d_head + k] * K[j * d.d_head + k];
    return s * d.scale;
  }

  // ---- where everything stands ----
  function layout(w) {
    const narrow = w < 640, area = narrow ? w : w * 0.66, per = narrow && h() > 6 ? Math.ceil(h() / 2) : h();
    const box = Math.min(92, (area - 4) / per - 6), pitch = (area - 4) / per;
    const lines = Math.ceil(h() / per), q = 46, wires = q + lines * (box + 40) - 14, K = wires + 92;
    const wide = Math.min((area - 4) / Math.max(...d.choices.values.filter((v) => narrow ? v <= 6 : true)), 170), tall = Math.min(84, box * 1.05);
    const bars = K + tall + 66, big = { side: narrow ? Math.min(w - 90, 300) : Math.min(w * 0.34 - 86, 330) };
    big.x = narrow ? 78 : area + 84;
    const end = bars + 26 * d.choices.values.length + 6;
    big.y = narrow ? end + 70 : 62;
    return { narrow, area, box, pitch, per, q, wires, K, tall, wide, bars, big, height: narrow ? big.y + big.side + 40 : Math.max(end, big.y + big.side + 90) };
  }

  const middle = (l, q) => (q % l.per + 0.5) * l.pitch;
  const top = (l, q) => l.q + Math.floor(q / l.per) * (l.box + 40);
  const across = (l, g) => { const m = h() / kv(), mids = Array.from({ length: m }, (_, i) => (g * m + i)); return l.per === h() ? mids.reduce((a, q) => a + middle(l, q), 0) / m : (g + 0.5) * l.area / kv(); };
  const width = (l) => Math.min(l.wide, l.area / kv() - 6);

  function frame(p, x, y, w, hh, stroke, lineWidth = 1) { p.line([[x, y], [x + w, y], [x + w, y + hh], [x, y + hh], [x, y]], { stroke, lineWidth }); }

  function draw(p, l) {
    const mine = group(head);
    p.text(0, 18, l.narrow ? `${h()} query heads: maps A` : `${h()} query heads, each its own map A [query, key]`, { fill: c.query, family: plot.SANS, size: 16, weight: 600 });
    for (let q = 0; q < h(); q++) {   // wires first, under the boxes
      const from = [middle(l, q), top(l, q) + l.box + 18], to = [across(l, group(q)), l.K - 24], points = [];
      for (let t = 0; t <= 1.001; t += 0.05) {
        const ease = t * t * (3 - 2 * t);
        points.push([from[0] + (to[0] - from[0]) * ease, from[1] + (to[1] - from[1]) * t]);
      }
      p.line(points, { stroke: group(q) === mine ? c.key : gf.mix(c.background, c.key, 0.4), lineWidth: q === head ? 5 : group(q) === mine ? 3 : 2 });
    }
    for (let q = 0; q < h(); q++) {
      const x = middle(l, q) - l.box / 2, y = top(l, q);
      p.rect(x - 2, y - 16, l.box + 4, l.box + 36, { fill: c.background });
      p.text(x + l.box / 2, y - 4, `Q${q}`, { fill: c.query, anchor: "middle", size: 14, weight: q === head ? 700 : 400 });
      p.matrix(rows("A", q), n(), n(), x, y, l.box, l.box, maps.weights, 0, 1);
      frame(p, x, y, l.box, l.box, q === head ? c.ink : c.line, q === head ? 3 : 1);
      const gone = part("moved")[q];
      p.text(x + l.box / 2, y + l.box + 15, gone < 5e-4 ? "same" : `${Math.round(100 * gone)}%`, { fill: gone < 5e-4 ? c.muted : c.attention, anchor: "middle", size: l.box < 50 ? 12 : 14, weight: 600 });
    }
    const wide = width(l);
    for (let g = 0; g < kv(); g++) {
      const x = across(l, g) - wide / 2, y = l.K, half = (wide - 6) / 2, lit = g === mine;
      p.text(x + wide / 2, y - 8, `K${g} V${g}`, { fill: lit ? c.ink : c.muted, anchor: "middle", size: wide < 56 ? 11 : 14, weight: lit ? 700 : 400 });
      p.matrix(rows("K", g), n(), d.d_head, x, y, half, l.tall, maps.signed, -d.top.K, d.top.K);
      frame(p, x, y, half, l.tall, c.key, lit ? 3 : 1);
      p.matrix(rows("V", g), n(), d.d_head, x + half + 6, y, half, l.tall, maps.signed, -d.top.V, d.top.V);
      frame(p, x + half + 6, y, half, l.tall, c.value, lit ? 3 : 1);
    }
    p.text(0, l.K + l.tall + 20, `${kv()} key/value head${kv() > 1 ? "s" : ""}: what the cache keeps, K and V [token, ${d.d_head}]`, { fill: c.muted, family: plot.SANS, size: 14 });
    bars(p, l);
    large(p, l);
  }

  function bars(p, l) {
    const most = Math.max(...d.bytes), x = 152, room = l.area - x - 96;
    p.text(0, l.bars - 10, d.encoder ? "kB a token, were it a decoder's cache, 16 bits" : "kB of cache a token, all layers, 16 bits", { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    d.choices.values.forEach((_, i) => {
      const y = l.bars + 26 * i, w = room * d.bytes[i] / most;
      p.text(0, y + 16, named(i).replace(", as trained", " ✓"), { fill: c.ink, size: 14, weight: i === at ? 700 : 400 });
      p.rect(x, y + 3, w, 18, { fill: i === at ? c.key : gf.mix(c.background, c.key, 0.35), radius: 3 });
      p.text(x + w + 8, y + 17, gf.number(d.bytes[i] / 1000), { fill: c.ink, size: 14, weight: i === at ? 700 : 400 });
    });
  }

  function large(p, l) {
    const { x, y, side } = l.big, size = side / n(), at_ = focus();
    p.text(l.narrow ? 0 : x - 70, y - 44, `Q${head} reads K${group(head)}`, { fill: c.ink, family: plot.SANS, size: 16, weight: 600 });
    p.text(l.narrow ? 0 : x - 70, y - 24, `A, query down, key across`, { fill: c.muted, family: plot.SANS, size: 14 });
    p.matrix(rows("A", head), n(), n(), x, y, side, side, maps.weights, 0, 1);
    frame(p, x, y, side, side, c.attention, 1.5);
    const every = size < 11 ? 2 : 1;
    for (let i = 0; i < n(); i += every) {
      const text = token(i);
      p.text(x - 6, y + (i + 0.5) * size + 4, text.length > 8 ? `${text.slice(0, 7)}…` : text, { fill: i === at_.i ? c.query : c.muted, anchor: "end", size: Math.min(13, size + 2), weight: i === at_.i ? 700 : 400 });
    }
    p.text(x + (at_.j + 0.5) * size, y + side + 17, token(at_.j), { fill: c.key, anchor: "middle", size: 13, weight: 700 });
    frame(p, x + at_.j * size, y + at_.i * size, size, size, c.ink, 2);
    if (!l.narrow) {
      p.text(x - 70, y + side + 44, "number under a map: share of its", { fill: c.muted, family: plot.SANS, size: 14 });
      p.text(x - 70, y + side + 62, "weight that moved to other keys", { fill: c.muted, family: plot.SANS, size: 14 });
    }
  }

  const focus = () => (hover && hover.i !== undefined ? hover : cell);

  // ---- what is said ----
  function arithmetic({ i, j }) {
    const Q = d.arrays.Q.subarray(head * n() * d.d_head), K = rows("K", group(head));
    const parts = [0, 1].map((k) => `${gf.number(Q[i * d.d_head + k])}·${gf.number(K[j * d.d_head + k])}`).join(" + ");
    const own = d.choices.values.indexOf(d.own), was = rows("A", head, own)[i * n() + j];
    return [`S = (${parts} + … ${d.d_head} products) ${d.scale_text} = ${gf.number(score(head, i, j), 4)}`,
      `A = ${gf.number(rows("A", head)[i * n() + j], 4)}, in the trained model ${gf.number(was, 4)}`];
  }

  function read() {
    const m = h() / kv(), mates = Array.from({ length: m }, (_, i) => group(head) * m + i).filter((q) => q !== head);
    const gone = part("moved")[head], at_ = focus(), made = kv() === d.own ? "as trained"
      : kv() > d.own ? "copies of the trained ones: the same output" : `each the mean of ${d.own / kv()} trained ones`;
    sum.textContent = `${kv()} key/value head${kv() > 1 ? "s" : ""}, ${made}. Query head ${head} reads key/value head ${group(head)}`
      + `${mates.length ? `, with ${mates.join(", ")}` : " alone"}; ${(100 * gone).toFixed(1)}% of its weight moved.\n`
      + `A[${token(at_.i)}, ${token(at_.j)}]: ${arithmetic(at_).join("; ")}`;
    if (hover) tip.show(hover.x, hover.y, hover.lines()); else tip.hide();
    view.canvas.setAttribute("aria-label", `${d.label} ${sum.textContent}`);
    view.redraw();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, heads: kv(), head }), 250);
  }

  function under(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width), x = event.clientX - rect.left, y = event.clientY - rect.top;
    const size = l.big.side / n(), i = Math.floor((y - l.big.y) / size), j = Math.floor((x - l.big.x) / size);
    if (i >= 0 && i < n() && j >= 0 && j < n()) {
      return { x, y, i, j, lines: () => [{ text: `“${token(i)}” reads “${token(j)}”`, strong: true }, ...(d.causal && j > i ? ["barred: a later token"] : arithmetic({ i, j }))] };
    }
    for (let q = 0; q < h(); q++) {
      if (Math.abs(x - middle(l, q)) <= l.box / 2 && y >= top(l, q) - 14 && y <= top(l, q) + l.box + 16) {
        return { x, y, q, lines: () => [{ text: `query head ${q} reads key/value head ${group(q)}`, strong: true }, `${(100 * part("moved")[q]).toFixed(1)}% of its weight moved to other keys`] };
      }
    }
    const wide = width(l);
    for (let g = 0; g < kv(); g++) {
      const left = across(l, g) - wide / 2, r = Math.floor((y - l.K) / l.tall * n()), half = (wide - 6) / 2;
      if (r < 0 || r >= n() || x < left || x > left + wide) continue;
      const name = x < left + half ? "K" : "V", dim = Math.floor((x - left - (name === "K" ? 0 : half + 6)) / half * d.d_head);
      if (dim < 0 || dim >= d.d_head) continue;
      return { x, y, g, lines: () => [{ text: `${name}${g}[${token(r)}, ${dim}] = ${gf.number(rows(name, g)[r * d.d_head + dim])}`, strong: true },
        kv() < d.own ? `the mean of ${name} of ${d.own / kv()} trained heads` : kv() > d.own ? "a copy of a trained head" : "as trained"] };
    }
    return null;
  }

  function choose(q) { head = (q + h()) % h(); hover = null; read(); tell(); }

  view.canvas.addEventListener("pointermove", (event) => { if (d && event.pointerType !== "touch") { hover = under(event); read(); } });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (d) read(); });
  view.canvas.addEventListener("click", (event) => {
    const found = d && under(event);
    if (!found) return;
    if (found.q !== undefined) choose(found.q);
    else if (found.g !== undefined) choose(found.g * h() / kv());
    else { cell = { i: found.i, j: found.j }; read(); }
  });
  const step = (by) => () => { hover = null; cell = { i: cell.i, j: Math.max(0, Math.min(d.causal ? cell.i : n() - 1, cell.j + by)) }; read(); };
  gf.keys(view.canvas, { ArrowLeft: () => choose(head - 1), ArrowRight: () => choose(head + 1), ArrowUp: step(-1), ArrowDown: step(1) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      maps = { signed: gf.diverging(root), weights: gf.sequential(root) };
      if (!old || old.epoch !== d.epoch) {   // otherwise both are the learner's
        clearTimeout(waiting);
        at = d.choices.values.indexOf(d.choices.at);
        head = d.head;
      }
      at = Math.min(at, d.choices.values.length - 1);
      head = Math.min(head, h() - 1);
      cell = d.cell;
      slider.element.firstChild.textContent = d.choices.label;
      slider.set(d.choices.values.map((_, i) => named(i)), at);
      fit();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
