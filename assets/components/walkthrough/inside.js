// Inside an open layer: strips, the head's map, the mixing of values, the additions, and the gallery of heads.
Object.assign(Painter.prototype, {
  open(pen, L, s, o) {
    const { trace, c } = this, clip = [{ x: o.card.x, y: 0, w: Math.max(0, o.card.w), h: L.height }];
    pen.layer(o.shown, clip, () => {
      const middle = o.card.x + o.card.w / 2;
      this.title(pen, middle, 18, `layer ${o.layer} of 0–${trace.n_layers - 1}`, { role: "ink", size: 15, weight: 600 });
      for (const group of ["attention", "ffn"]) this.bracket(pen, L, o, group);
      if (!trace.has(o.layer)) {
        this.title(pen, middle, (L.top + L.bottom) / 2, "fetching this layer’s tensors…", { size: 15 });
        return;
      }
      this.branches(pen, L, o);
      for (const part of o.parts) {
        if (part.kind === "strip") {
          const block = trace.block(o.layer, part.id, s.view.head);
          this.strips(pen, L, `${o.layer}.${part.id}.${block.values.byteOffset}`, block, part);
          this.symbol(pen, part, part.id, L);
        }
        else if (part.kind === "map") this.map(pen, L, s, o, part);
        else if (part.kind === "mix") this.mix(pen, L, s, o, part);
        else this.sums(pen, L, part);
      }
      this.lit(pen, L, s, o);
      this.gallery(pen, L, s, o);
    });
    if (s.view.part && trace.stages[s.view.part]) {
      const part = o.part(s.view.part) || (["attention.scores", "mask"].includes(s.view.part) && o.part("attention.A"));
      if (part) pen.rect(part.x - 4, L.top - 33, part.w + 8, 29, { stroke: c.ink, radius: 6, width: 1.5 });
    }
  },

  bracket(pen, L, o, group) {
    const parts = o.parts.filter((part) => part.group === group), a = parts[0].x, b = parts.at(-1).x + parts.at(-1).w;
    const name = group === "ffn" ? "FFN" : "attention", y = L.top - 38, half = 4.5 * name.length;
    if (b - a < 2 * half) return;
    const middle = (a + b) / 2, stroke = this.c[group === "ffn" ? "ffn" : "attention"];
    pen.path(`M${a},${y - 4}H${middle - half - 4}M${middle + half + 4},${y - 4}H${b}`, { stroke, width: 2 });
    this.title(pen, middle, y + 1, name, { role: group === "ffn" ? "ffn" : "attention", size: 15, weight: 600 });
  },

  branches(pen, L, o) {   // where a branch leaves the stream, and where it comes back
    const stroke = this.faded("residual", 0.55), before = this.trace.norm_place === "pre";
    for (const group of ["attention", "ffn"]) {
      const parts = o.parts.filter((part) => part.group === group && (before || !part.id.startsWith("norm")));
      const first = parts[0], sum = o.part(group === "ffn" ? "resid_post" : "resid_mid"), out = o.part(`${group}.out`);
      for (let i = 0; i < L.n; i++) {
        const strip = L.stripY(i) + L.stripH / 2, low = L.low(i);
        pen.path(`M${first.x - SEAM},${low}Q${first.x - 2},${low} ${first.x - 1},${strip}`, { stroke, width: 1.2 });
        pen.path(`M${out.x + out.w + 1},${strip}Q${sum.x + sum.w / 2},${strip} ${sum.x + sum.w / 2},${low - 4}`,
          { stroke: this.c[group === "ffn" ? "ffn" : "attention"], width: 1.4 });
      }
    }
  },

  sums(pen, L, part) {
    const { c } = this, r = clamp(L.rowH * 0.15, 2.5, 7.5), x = part.x + part.w / 2;
    for (let i = 0; i < L.n; i++) {
      const y = L.low(i), d = r * 0.55;
      pen.rect(x - r, y - r, 2 * r, 2 * r, { fill: c.background, stroke: c.residual, radius: r, width: 1.4 });
      if (r > 4) pen.path(`M${x - d},${y}H${x + d}M${x},${y - d}V${y + d}`, { stroke: c.ink, width: 1.4 });
    }
    if (part.w >= 14) this.title(pen, x, L.top - 14, "+", { role: "residual", size: 18, weight: 600, family: this.serif });
  },

  map(pen, L, s, o, part) {
    const { trace, c } = this, { x, w } = part, n = L.n, cell = w / n, { head } = s.view;
    const phase = s.front?.map || (s.view.map === "scores" ? { S: 1, mask: 1, A: 0 } : { S: 1, mask: 1, A: 1 });
    const S = trace.block(o.layer, "attention.scores", head), A = trace.block(o.layer, "attention.A", head);
    const high = L.bottom - L.top, seam = cell >= 10 && L.rowH >= 12 ? 1 : 0;
    pen.rect(x, L.top, w, high, { fill: c.background });
    if (phase.A < 1) {
      const range = this.trace.range(`${o.layer}.S.${head}`, S);
      this.cells(pen, L, x, cell, seam, `${o.layer}.S.${head}`, S, this.signed, -range, range, Math.ceil(phase.S * n));
    }
    this.hatch(pen, L, x, cell, phase.mask);
    if (phase.A > 0) {
      pen.layer(phase.A, null, () => {
        if (phase.A < 1) pen.rect(x, L.top, w, high, { fill: c.background });
        this.cells(pen, L, x, cell, seam, `${o.layer}.A.${head}`, A, this.weights, 0, 1, n);
        this.hatch(pen, L, x, cell, 1);
      });
    }
    const weights = phase.A >= 1, numbers = cell >= 29 && L.rowH >= 15;
    if (numbers) {
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
        if (trace.masked(i, j)) continue;
        const v = weights ? A.values[i * n + j] : S.values[i * n + j];
        if (weights && v < 0.005) continue;
        const text = weights ? (v >= 0.995 ? "1" : v.toFixed(2).slice(1)) : Math.abs(v) < 9.95 ? v.toFixed(1) : v.toFixed(0);
        pen.text(x + (j + 0.5) * cell, L.mid(i) + 5, text.replace("-", "−"),
          { fill: weights && v > 0.5 ? c.background : c.ink, size: clamp(cell * 0.36, 11, 15), anchor: "middle", family: this.mono });
      }
    }
    pen.rect(x, L.top, w, high, { stroke: this.faded("attention", 0.6), width: 1 });
    const stage = weights ? "attention.A" : "attention.scores";
    const middle = x + w / 2;
    this.letter(pen, middle - 26, L.top - 14, trace.stages[stage].symbol, weights ? "attention" : "scores");
    this.title(pen, middle + 12, L.top - 14, `head ${head}`, { size: 14 });
    if (cell >= 34) {
      for (let j = 0; j < n; j++) {
        this.title(pen, x + (j + 0.5) * cell, L.bottom + 15, this.fit(trace.piece(j).trim() || gf.chipText(trace.piece(j)), cell - 2, 12),
          { size: 12, family: this.mono, role: j === s.keyRow ? "key" : "muted" });
      }
    }
    this.title(pen, middle, L.bottom + (cell >= 34 ? 30 : 18), "query ↓  key →", { size: 12 });
  },

  cells(pen, L, x, cell, seam, name, block, map, low, high, rows) {
    const n = L.n, gain = 1 / (high - low || 1);
    if (!seam) {
      const image = this.picture(name, { ...block, rows: n, cols: n }, map, low, high);
      for (let i = 0; i < rows; i++) pen.image(image, x, L.rowTop(i), n * cell, L.rowH + 0.3, i, 1);
      return;
    }
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < n; j++) {
        pen.rect(x + j * cell + 0.5, L.rowTop(i) + 0.5, cell - 1, L.rowH - 1, { fill: map((block.values[i * n + j] - low) * gain) });
      }
    }
  },

  hatch(pen, L, x, cell, alpha) {   // what a row may not read: for a decoder, the future
    if (alpha <= 0) return;
    const boxes = [];
    for (let i = 0; i < L.n; i++) {
      for (let j = 0; j < L.n; j++) {   // runs of masked cells
        let end = j;
        while (end < L.n && this.trace.masked(i, end)) end++;
        if (end > j) boxes.push({ x: x + j * cell, y: L.rowTop(i), w: (end - j) * cell, h: L.rowH });
        j = Math.max(j, end);
      }
    }
    if (!boxes.length) return;
    pen.layer(alpha, boxes, () => {
      const w = cell * L.n, h = L.bottom - L.top;
      pen.rect(x, L.top, w, h, { fill: this.c.panel });
      let d = "";
      for (let k = -h; k < w; k += 9) d += `M${x + k},${L.top}l${h},${h}`;
      pen.path(d, { stroke: this.faded("muted", 0.25), width: 1 });
    });
  },

  mix(pen, L, s, o, part) {   // each row of z gathers the values that its row of A weighs
    const { trace } = this, n = L.n, a = part.x - SEAM, b = part.x + part.w + SEAM, centre = (a + b) / 2;
    if (s.front && !s.front.mixes) return;
    const focus = s.queryRow ?? s.view.token, y = (i) => L.stripY(i) + L.stripH / 2;
    const rows = n <= 20 ? Array.from({ length: n }, (_, i) => i).filter((i) => i !== focus) : [];
    for (const i of [...rows, focus]) {
      const strong = i === focus;
      for (let j = 0; j < n; j++) {
        const weight = trace.weight(o.layer, s.view.head, i, j);
        if (weight < (strong ? 0.01 : 0.08)) continue;
        pen.path(`M${a},${y(j)}C${centre},${y(j)} ${centre},${y(i)} ${b},${y(i)}`,
          { stroke: this.faded("value", strong ? 0.25 + 0.75 * weight : 0.3 * weight), width: strong ? 1 + 6 * weight : 1 + 2 * weight, cap: "round" });
      }
    }
  },

  lit(pen, L, s, o) {   // the query row and the key column that the pointer is on
    const { c } = this, at = o.part("attention.A");
    if (s.queryRow === null || s.keyRow === null) return;
    const ring = (id, row, stroke) => {
      const part = o.part(id);
      pen.rect(part.x - 2, L.stripY(row) - 2, part.w + 4, L.stripH + 4, { stroke, radius: 3, width: 2 });
    };
    ring("attention.Q", s.queryRow, c.query);
    ring("attention.K", s.keyRow, c.key);
    ring("attention.V", s.keyRow, c.value);
    const cell = at.w / L.n;
    pen.rect(at.x, L.rowTop(s.queryRow), at.w, L.rowH, { stroke: c.query, width: 1.5 });
    pen.rect(at.x + s.keyRow * cell, L.top, cell, L.bottom - L.top, { stroke: c.key, width: 1.5 });
    pen.rect(at.x + s.keyRow * cell, L.rowTop(s.queryRow), cell, L.rowH, { stroke: c.ink, width: 2.5 });
  },

  gallery(pen, L, s, o) {
    const { trace, c } = this;
    for (const { head, x, y, w } of o.thumbs) {
      const A = trace.block(o.layer, "attention.A", head), on = head === s.view.head, over = s.hover?.type === "thumb" && s.hover.box.head === head;
      pen.rect(x, y, w, w, { fill: c.background });
      pen.image(this.picture(`${o.layer}.a.${head}`, { ...A, rows: L.n, cols: L.n }, this.weights, 0, 1), x, y, w, w);
      pen.rect(x - 1, y - 1, w + 2, w + 2, { stroke: on ? c.attention : over ? c.ink : c.line, radius: 3, width: on ? 2.5 : 1 });
      if (w >= 12) this.title(pen, x + w / 2, y + w + 15, String(head), { size: 12, family: this.mono, role: on ? "attention" : "muted", weight: on ? 700 : 400 });
    }
  },
});
