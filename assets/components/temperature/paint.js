/* One distribution at several temperatures: columns of bars, the same curve squeezed and stretched, entropy against T.

   painter.layout(width, columns)   -> where everything goes, and the height
   painter.picture(p, layout, view) -> p: plot.onCanvas or plot.onSvg; view: {columns: [{T, d, tint, live}], names, sweep,
                                       axis, hover, c}; columns[0] is the live one
    painter.scales(layout, view)     -> {T(panel), most, bits, share}: the scales of the two sweeps, for dragging */
const painter = (() => {
  const HEAD = 54, ROW = 27, ROWS = 8;

  function layout(width, columns) {
    const wide = width >= 640, label = wide ? 150 : 88, gap = wide ? 22 : 7;
    const each = (width - label - gap * columns) / columns;
    const bars = { label, each, gap, rows: ROWS, row: ROW, x: (i) => label + gap + i * (each + gap), y: HEAD, h: ROWS * ROW,
      values: each > 96 };
    const below = HEAD + bars.h + 48, third = (width - 3 * 58) / 3;
    const panel = (i, x, w) => (wide ? { x, y: below, w, h: 168 } : { x: 50, y: below + i * 196, w: width - 58, h: 130 });
    return { width, wide, height: wide ? below + 196 : below + 3 * 196 - 30, bars, ranks: panel(0, 52, third),
      entropy: panel(1, third + 110, third), largest: panel(2, 2 * third + 168, third) };
  }

  function scales(l, v) {
    const all = v.sweep.temperatures, T = (g) => plot.scale(all[0], all[all.length - 1], g.x, g.x + g.w, true);
    const most = Math.log2(v.columns[0].d.p.length);   // uniform over the vocabulary
    return { T, most, bits: plot.scale(0, most * 1.06, l.entropy.y + l.entropy.h, l.entropy.y),
      share: plot.scale(0, 1, l.largest.y + l.largest.h, l.largest.y) };
  }

  const clip = (text, width, size) => {
    const room = Math.max(1, Math.floor(width / (size * 0.6))), letters = Array.from(text);
    return letters.length <= room ? text : `${letters.slice(0, room - 1).join("")}…`;
  };

  function picture(p, l, v) {
    drawColumns(p, l.bars, v);
    drawRanks(p, l.ranks, v);
    drawSweep(p, l, v);
  }

  function drawColumns(p, b, v) {
    const { c } = v, room = b.each - (b.values ? 54 : 2);
    for (let r = 0; r < Math.min(b.rows, v.names.length); r++) {
      const y = b.y + r * b.row;
      const right = b.x(v.columns.length - 1) + b.each;
      if (v.hover && v.hover.rank === r) p.rect(0, y + 1, right, b.row - 2, { fill: c.panel, radius: 6 });
      p.text(b.label, y + b.row / 2 + 5, clip(gf.chipText(v.names[r]), b.label - 4, b.values ? 15 : 14),
        { fill: c.ink, size: b.values ? 15 : 14, anchor: "end" });
    }
    v.columns.forEach(({ T, d, tint, live }, i) => {
      const x = b.x(i), bits = `${gf.number(d.entropy / Math.LN2)} bits`;
      if (live) p.rect(x - 6, b.y - 52, b.each + 10, b.h + 58, { stroke: tint, radius: 8 });
      const head = `${b.values ? "T = " : ""}${sampling.said(T)}`;
      p.text(x, b.y - 31, head, { fill: tint, size: live ? 18 : 16, weight: 600 });
      p.text(x, b.y - 12, b.values ? bits : gf.number(d.entropy / Math.LN2, 2), { fill: c.muted, size: 12 });
      for (let r = 0; r < Math.min(b.rows, v.names.length); r++) {
        const y = b.y + r * b.row, w = room * Math.min(1, d.p[r] / v.axis);
        p.rect(x, y + 5, Math.max(1, w), b.row - 10, { fill: live ? tint : gf.mix(c.background, tint, 0.75), radius: 3 });
        if (b.values) p.text(x + w + 6, y + b.row / 2 + 4, gf.number(d.p[r], 2), { fill: c.ink, size: 12 });
      }
    });
  }

  function drawRanks(p, g, v) {   // log p = ℓ / T − log Σ: one curve, drawn at another height scale for each T
    const { c } = v, n = v.columns[0].d.p.length;
    const x = plot.scale(1, n, g.x, g.x + g.w, true), y = plot.scale(1e-10, 1, g.y + g.h, g.y, true);
    p.text(g.x - 44, g.y - 14, "probability by rank", { fill: c.muted, size: 12 });
    for (const power of [0, -2, -4, -6, -8, -10]) {
      p.line([[g.x, y(10 ** power)], [g.x + g.w, y(10 ** power)]], { stroke: c.line });
      p.text(g.x - 8, y(10 ** power) + 4, power ? `1e−${-power}` : "1", { fill: c.muted, size: 12, anchor: "end" });
    }
    for (let power = 0; 10 ** power <= n; power++) {
      const label = power < 3 ? String(10 ** power) : `${10 ** (power - 3)}k`;
      p.text(x(10 ** power), g.y + g.h + 18, label, { fill: c.muted, size: 12, anchor: "middle" });
    }
    for (const { d, tint, live } of [...v.columns].reverse()) {
      const points = [];
      for (let rank = 1; rank <= n; rank = Math.max(rank + 1, Math.ceil(rank * 1.02))) {
        if (d.p[rank - 1] < 1e-10) break;
        points.push([x(rank), y(d.p[rank - 1])]);
      }
      p.line(points, { stroke: tint, lineWidth: live ? 3.5 : 1.5 });
    }
  }

  function drawSweep(p, l, v) {
    const { c, sweep } = v, s = scales(l, v), live = v.columns[0];
    const panel = (g, title, y, ticks, values, at) => {
      const T = s.T(g), x = T(Math.max(sweep.temperatures[0], live.T));
      p.text(g.x - 44, g.y - 14, title, { fill: c.muted, size: 12 });
      for (const tick of ticks) {
        p.line([[g.x, y(tick)], [g.x + g.w, y(tick)]], { stroke: c.line });
        p.text(g.x - 8, y(tick) + 4, String(tick), { fill: c.muted, size: 12, anchor: "end" });
      }
      for (const tick of [0.1, 1, 10, 100]) {
        const anchor = tick === 100 ? "end" : "middle", label = `${tick === 1 ? "T = " : ""}${tick}`;
        p.text(T(tick), g.y + g.h + 18, label, { fill: c.muted, size: 12, anchor });
      }
      p.line(Array.from(sweep.temperatures, (t, i) => [T(t), y(values[i])]), { stroke: c.ink, lineWidth: 2 });
      for (const column of v.columns.slice(1)) p.circle(T(column.T), y(at(column.d)), 4, { fill: column.tint });
      p.line([[x, g.y - 6], [x, g.y + g.h + 4]], { stroke: live.tint, lineWidth: 1.5 });
      p.circle(x, y(at(live.d)), 8, { fill: live.tint, stroke: c.background, lineWidth: 2.5 });
    };
    const top = s.bits(s.most), round = s.most > 8 ? [0, 5, 10] : [0, 2, 4];
    p.line([[l.entropy.x, top], [l.entropy.x + l.entropy.w, top]], { stroke: c.muted, dash: [5, 4] });
    p.text(l.entropy.x + 6, top + 16, `uniform: ${s.most.toFixed(1)}`, { fill: c.muted, size: 12 });
    panel(l.entropy, "entropy, bits", s.bits, round, sweep.entropy, (d) => d.entropy / Math.LN2);
    panel(l.largest, "largest probability", s.share, [0, 0.5, 1], sweep.largest, (d) => d.p[0]);
  }

  return { layout, scales, picture };
})();
