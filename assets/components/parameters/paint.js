/* parameters: how the weights are laid out and drawn. Sizes are areas: nothing here knows a formula of a Transformer.

   parameters.layout(frame, box)  ->  columns [{section, x, w, blocks: [{block, x, y, w, h}]}] that fill the box
   parameters.whole(p, c, frame, box, lit, wide)   the weights; lit: {section, block} or {part} that stands out
   parameters.rule(p, c, frame, box, lit, wide)    12 · layers · d² and the terms up to the exact number */
const parameters = (() => {
  const THIN = "\u202f", AIR = 3;
  const si = (count) => {
    const units = ["", "K", "M", "B", "T"], sign = count < 0 ? "−" : "";
    let size = Math.abs(count), unit = 0;
    while (size >= 999.5 && unit < units.length - 1) { size /= 1000; unit++; }
    return `${sign}${unit ? size.toPrecision(3) : Math.round(size)}${unit ? THIN : ""}${units[unit]}`;
  };
  const grouped = (count) => Math.abs(count).toLocaleString("en").replace(/^/, count < 0 ? "−" : "");
  const percent = (share) => {
    const size = 100 * Math.abs(share);
    return `${share < 0 ? "−" : ""}${size >= 99.95 ? size.toFixed(0) : size >= 0.995 ? size.toFixed(1) : size.toPrecision(2)}${THIN}%`;
  };
  const area = (block, section) => (section.once ? block.total * section.columns : block.total);   // as if each were stored

  function layout({ sections }, { x0, x1, y0, y1 }) {
    const sizes = sections.map((section) => section.blocks.reduce((sum, block) => sum + area(block, section), 0));
    const whole = sizes.reduce((sum, size) => sum + size, 0), room = x1 - x0 - AIR * (sections.length - 1);
    let x = x0;
    return sections.map((section, s) => {
      const w = room * sizes[s] / whole;
      let y = y1;
      const blocks = section.blocks.map((block) => {
        const h = (y1 - y0) * area(block, section) / sizes[s];
        y -= h;
        return { block, x, y, w, h };
      });
      const column = { section, x, w, blocks };
      x += w + AIR;
      return column;
    });
  }

  const isLit = (lit, section, block) => !lit || (lit.part ? lit.part === block.part : lit.section === section.key && lit.block === block.name);

  function hatch(p, x, y, w, h, stroke) {   // slanted lines clipped to the box by hand: the SVG has no clip
    for (let at = -h; at < w; at += 7) {
      const a = Math.max(0, at), b = Math.min(w, at + h);
      if (b > a) p.line([[x + a, y + h - (a - at)], [x + b, y + h - (b - at)]], { stroke, lineWidth: 1, opacity: 0.55 });
    }
  }

  function whole(p, c, frame, box, lit, wide) {
    const columns = layout(frame, box);
    for (const { section, x, w, blocks } of columns) {
      const each = w / section.columns, first = section.once ? each : w;
      for (const { block, y, h } of blocks) {
        const role = c[block.role] ?? c.muted, on = isLit(lit, section, block);
        const fill = gf.mix(c.background, role, on ? (lit ? 0.62 : 0.42) : 0.12);
        if (block.stored) p.rect(x, y, first, h, { fill });
        if (!block.stored) hatch(p, x, y, w, h, role);
        else if (section.once) hatch(p, x + each, y, w - each, h, role);
        p.line([[x, y], [x + w, y]], { stroke: role, lineWidth: h > 2 ? 1.2 : 0.6, opacity: on ? 0.9 : 0.3 });
      }
      if (each >= 2.5) for (let i = 1; i < section.columns; i++) {
        p.line([[x + i * each, box.y0], [x + i * each, box.y1]], { stroke: c.background, lineWidth: each > 8 ? 1.4 : 0.8 });
      }
      for (const { block, y, h } of blocks) {
        const share = percent(block.total / frame.total), clear = block.stored ? isLit(lit, section, block) : true;
        const text = !block.stored ? `${block.symbol}: stored already` : wide && w > 150 ? `${block.symbol}  ${share}` : block.symbol;
        const size = wide ? 14 : 12, room = text.length * size * 0.52 + 12;
        if (h < size + 5 || w < room) continue;
        const cx = x + w / 2, cy = y + h / 2;
        p.rect(cx - room / 2, cy - size / 2 - 4, room, size + 8, { fill: gf.mix(c.background, c[block.role] ?? c.muted, block.stored && clear ? 0.14 : 0.03), radius: 5 });
        p.text(cx, cy + size / 3, text, { fill: clear ? c.ink : c.muted, size, anchor: "middle", weight: 600, family: plot.SANS });
      }
    }
    titles(p, c, columns, box, wide);
  }

  function titles(p, c, columns, box, wide) {   // under the columns; names that meet step aside
    const size = wide ? 14 : 12, placed = columns.map(({ section, x, w }) => {
      const text = section.once && section.columns > 1 ? `${section.title}, one stored` : section.title;
      return { text, at: x + w / 2, room: text.length * size * 0.5 + 10, x, w };
    });
    for (const one of placed) one.at = Math.max(box.x0 + one.room / 2, Math.min(box.x1 - one.room / 2, one.at));
    for (let i = 1; i < placed.length; i++) placed[i].at = Math.max(placed[i].at, placed[i - 1].at + (placed[i - 1].room + placed[i].room) / 2);
    for (let i = placed.length - 1; i >= 0; i--) {
      const next = placed[i + 1], most = next ? next.at - (next.room + placed[i].room) / 2 : box.x1 - placed[i].room / 2;
      placed[i].at = Math.min(placed[i].at, most);
    }
    for (const { text, at, x, w } of placed) {
      p.line([[x, box.y1 + 6], [x + w, box.y1 + 6]], { stroke: c.muted, lineWidth: 2 });
      p.text(at, box.y1 + 24, text, { fill: c.muted, size, anchor: "middle", family: plot.SANS });
    }
  }

  function rule(p, c, frame, box, lit, wide) {
    const { terms, total } = frame, size = wide ? 15 : 12.5, left = box.x0 + (wide ? 214 : 98), right = box.x1 - (wide ? 158 : 62);
    let sum = 0;
    const bars = terms.map((term) => ({ term, from: sum, to: (sum += term.value) }));
    const most = Math.max(...bars.flatMap(({ from, to }) => [from, to])), x = (v) => left + (right - left) * v / most;
    const rows = bars.length + 1, step = Math.min(96, (box.y1 - box.y0) / rows), bar = Math.min(52, step * 0.62);
    const label = (k, text, strong) => p.text(left - 12, box.y0 + k * step + bar / 2 + size / 3, text,
      { fill: strong ? c.ink : c.muted, size, anchor: "end", weight: strong ? 600 : 400, family: plot.SANS });
    const number = (k, value, to, fill) => {
      const y = box.y0 + k * step + bar / 2 + size / 3;
      p.text(x(to) + 8, y, wide ? `${value > 0 && k && k < bars.length ? "+" : ""}${si(value)}  ${percent(value / total)}` : si(value), { fill, size: size - 1, family: plot.MONO });
    };
    bars.forEach(({ term, from, to }, k) => {
      const y = box.y0 + k * step, role = c[term.role] ?? c.muted, on = !lit || lit.term === term.key;
      const low = Math.min(x(from), x(to)), w = Math.max(1.5, Math.abs(x(to) - x(from)));
      p.rect(low, y, w, bar, { fill: gf.mix(c.background, role, on ? (term.value < 0 ? 0.1 : 0.45) : 0.12) });
      if (term.value < 0) hatch(p, low, y, w, bar, role);
      p.line([[low, y], [low + w, y], [low + w, y + bar], [low, y + bar], [low, y]], { stroke: role, lineWidth: 1.3, opacity: on ? 1 : 0.35 });
      p.line([[x(to), y + bar], [x(to), y + step]], { stroke: c.muted, lineWidth: 1, dash: [3, 3] });
      label(k, wide ? term.label : term.short, k === 0);
      number(k, term.value, Math.max(from, to), k === 0 ? c.ink : c.muted);
    });
    const y = box.y0 + bars.length * step;
    p.rect(x(0), y, x(total) - x(0), bar, { fill: gf.mix(c.background, c.ink, 0.75) });
    label(bars.length, wide ? "exact number" : "exact", true);
    number(bars.length, total, total, c.ink);
    return bars.map(({ term, from, to }, k) => ({ term, from, to, y: box.y0 + k * step, h: step }));
  }

  return { layout, whole, rule, si, grouped, percent, area };
})();
