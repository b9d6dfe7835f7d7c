/* One matrix, and what is lit in it.   brush.draw(s, app, plan) on a surface: the screen's or an SVG's */
const brush = (() => {
  const DIM = 0.72;

  function draw(s, app, found) {
    const { c } = app, cell = app.focus(), lights = cell ? sums.of(app, cell).lights : [];
    for (const box of found.boxes) {
      const state = app.state(box.m.key);   // lit, dim, or later: not computed yet
      const mine = lights.filter((light) => light.key === box.m.key);
      const here = cell && cell.m === box.m ? cell : null;
      names(s, app, box, mine, here, found);
      if (state === "later") {
        for (const y of [box.y, box.y + box.h]) s.line([[box.x, y], [box.x + box.w, y]], { stroke: c.line, dash: [3, 4] });
        for (const x of [box.x, box.x + box.w]) s.line([[x, box.y], [x, box.y + box.h]], { stroke: c.line, dash: [3, 4] });
        continue;
      }
      cells(s, app, box);
      under(s, app, box);
      if (state === "dim") {
        const pad = 3;
        s.rect(box.x - pad, box.y - pad, box.w + 2 * pad, box.h + 2 * pad, { fill: c.background, opacity: DIM });
      }
      for (const light of mine) lit(s, app, box, light);
      if (here) {
        const x = box.x + here.col * box.cw, y = box.y + here.row * box.ch;
        s.outline(x - 1, y - 1, box.cw + 2, box.ch + 2, { stroke: c.ink, lineWidth: 3 });
      }
    }
  }

  function lit(s, app, box, { row, col }) {   // a whole row, or a whole column, in the colour of its matrix
    const x = col === undefined ? box.x : box.x + col * box.cw, w = col === undefined ? box.w : box.cw;
    const y = row === undefined ? box.y : box.y + row * box.ch, h = row === undefined ? box.h : box.ch;
    s.outline(x - 1, y - 1, w + 2, h + 2, { stroke: app.tone(box.m.role), lineWidth: 3 });
  }

  function names(s, app, box, lights, here, found) {
    const { c } = app, { m, size } = box, marked = { row: [], col: [] };
    for (const at of here ? [...lights, here] : lights) {
      if (at.row !== undefined) marked.row.push(at.row);
      if (at.col !== undefined) marked.col.push(at.col);
    }
    const state = app.state(m.key), quiet = state !== "lit";
    box.title.forEach((line, i) => s.text(box.titleX, box.titleY + 20 * i, line,
      { fill: quiet ? c.muted : app.tone(m.role), family: plot.SANS, size: 16, weight: 600 }));
    const down = m.rowAxis ? `${m.rowAxis} ↓  ` : "", across = `${m.colAxis} →`;
    const wide = 1.12 * surface.width(down, 13, plot.SANS);
    s.text(box.titleX, box.axisY, down, { fill: axis(app, m.rowAxis), family: plot.SANS, size: 13 });
    if (m.cols.length > 1) s.text(box.titleX + wide, box.axisY, across, { fill: axis(app, m.colAxis), family: plot.SANS, size: 13 });
    const shown = (i, marks, every) => marks.includes(i)
      || (i % every === 0 && !marks.some((at) => Math.abs(at - i) < every));
    if (box.labels) m.rows.forEach((name, i) => {
      if (!shown(i, marked.row, box.everyRow)) return;
      const text = plan.clip(name), y = box.y + (i + 0.5) * box.ch, strong = marked.row.includes(i);
      if (strong) {
        const w = surface.width(text, size) + 8;
        const fill = gf.mix(c.background, axis(app, m.rowAxis), 0.16);
        s.rect(box.x - 5 - w, y - size * 0.75, w, size * 1.5, { fill, radius: 4 });
      }
      s.text(box.x - 9, y + size * 0.35, text, { fill: strong ? axis(app, m.rowAxis) : c.ink, size, anchor: "end" });
    });
    m.cols.forEach((name, i) => {
      if (!shown(i, marked.col, box.everyCol)) return;
      const text = plan.clip(name), x = box.x + (i + 0.5) * box.cw, strong = marked.col.includes(i);
      const fill = strong ? axis(app, m.colAxis) : c.ink;
      if (box.tilt) s.tilted(x + size * 0.3, box.y - 6, text, -55, { fill, size: box.colSize });
      else s.text(x, box.y - 7, text, { fill, size: box.colSize, anchor: "middle", weight: strong ? 700 : 400 });
    });
  }

  const axis = (app, name) => (/^quer/.test(name) ? app.c.query : /^key/.test(name) ? app.c.key : app.c.muted);

  function cells(s, app, box) {
    const { c } = app, { m } = box, rows = Math.ceil(m.rows.length * app.revealed(m.key)), cols = m.cols.length;
    s.rect(box.x, box.y, box.w, box.h, { fill: c.background });
    if (box.cw < 7 || box.ch < 7) {
      s.image(image(app, m, rows), box.x, box.y, box.w, box.h);
      s.outline(box.x, box.y, box.w, box.h, { stroke: c.line, lineWidth: 1 });
      return;
    }
    const gap = box.cw >= 18 && box.ch >= 14 ? 1 : 0.5;
    for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) {
      const x = box.x + j * box.cw, y = box.y + i * box.ch, w = box.cw - gap, h = box.ch - gap;
      if (app.barred(m, i, j)) {
        s.rect(x, y, w, h, { fill: c.panel });
        s.line([[x + 2, y + h - 2], [x + w - 2, y + 2]], { stroke: c.muted, opacity: 0.45 });
        continue;
      }
      const value = app.value(m, i, j);
      if (Number.isNaN(value)) continue;
      const fill = app.fill(m, value);
      s.rect(x, y, w, h, { fill });
      if (box.font) {
        s.text(x + w / 2, y + h / 2 + box.font * 0.35, app.written(m, value),
          { fill: app.readable(fill), size: box.font, anchor: "middle" });
      }
    }
    s.outline(box.x - 0.5, box.y - 0.5, box.w, box.h, { stroke: c.line, lineWidth: 1 });
  }

  const source = document.createElement("canvas");
  function image(app, m, rows) {
    const cols = m.cols.length, pixels = new ImageData(cols, m.rows.length);
    const bar = gf.rgb(gf.mix(app.c.background, app.c.muted, 0.22)), { lut } = app.map(m);
    for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) {
      const to = 4 * (i * cols + j), value = app.value(m, i, j);
      if (app.barred(m, i, j)) pixels.data.set([...bar, 255], to);
      else if (!Number.isNaN(value)) {
        const from = 4 * Math.round(255 * app.share(m, value));
        pixels.data.set([lut[from], lut[from + 1], lut[from + 2], 255], to);
      }
    }
    source.width = cols;
    source.height = m.rows.length;
    source.getContext("2d").putImageData(pixels, 0, 0);
    return source;
  }

  function under(s, app, box) {
    const { c } = app, { m } = box;
    if (!box.numbers) {   // numbers speak for themselves, colours need a legend
      const w = Math.min(120, Math.max(box.w, 84)), map = app.map(m), steps = 24;
      for (let i = 0; i < steps; i++) {
        s.rect(box.x + i * w / steps, box.legendY, w / steps + 0.5, 8, { fill: map(i / (steps - 1)) });
      }
      s.outline(box.x, box.legendY, w, 8, { stroke: c.line, lineWidth: 1 });
      const top = gf.number(m.top, 2), ends = m.signed ? [[0, `−${top}`], [0.5, "0"], [1, top]] : [[0, "0"], [1, top]];
      for (const [share, text] of ends) {
        s.text(box.x + share * w, box.legendY + 22, text,
          { fill: c.muted, size: 12, anchor: share === 0 ? "start" : share === 1 ? "end" : "middle" });
      }
    }
    box.note.forEach((line, i) => s.text(box.titleX, box.noteY + 18 * i, line, { fill: c.muted, family: plot.SANS, size: 14 }));
  }

  return { draw };
})();
