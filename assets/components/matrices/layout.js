/* Where everything goes. A row of the grid is laid in one line, or in several where it does not fit.

   plan.of(app, width) -> {boxes, height, narrow}; a box is one matrix:
       {m, x, y, w, h, cw, ch}                its cells
       {title: [line], titleX, titleY, axisY}  above it;   {note: [line], noteY, legendY}  under it
       {labels, size, colSize, tilt, everyRow, everyCol}  names of its rows and columns
       {font}                                 of the numbers in its cells, 0: too many to be read, and colours have a legend
   plan.at(plan, x, y) -> {m, row, col} or null
   plan.clip(label) -> label as shown */
const plan = (() => {
  const GAP = 34, TILT = 55 * Math.PI / 180, LETTER = 0.602, MOST = 12, LEGEND = 34, SLOT = 64;

  function of(app, width) {
    const narrow = width < 560, size = narrow ? 12 : 13;
    const lines = app.grid().flatMap((row) => packed(row.map((m) => measured(app, m, narrow, size)), width, narrow));
    const wanted = app.height() * lines.length / Math.max(1, app.grid().length);
    const boxes = [];
    let y = 4;
    const heads = lines.map((line) => fit(line, width));
    const over = lines.reduce((sum, line, i) => sum + heads[i] + Math.max(...line.map((b) => b.foot)) + 22, 0);
    const rows = lines.reduce((sum, line) => sum + Math.max(...line.map((b) => b.m.rows.length)), 0);
    const tall = (wanted - over) / Math.max(1, rows);
    lines.forEach((line, i) => {
      const most = Math.max(...line.map((b) => b.m.rows.length));
      const least = line.some((b) => b.numbers) && most <= 24 ? 21 : most <= 8 ? 18 : most <= 16 ? 15.5 : most <= 24 ? 10 : 2.5;
      const ch = Math.min(42, Math.max(least, narrow ? Math.min(tall, 28) : tall));
      y = placed(line, y, heads[i], ch) + 22;
      boxes.push(...line);
    });
    return { boxes, height: Math.ceil(Math.max(y - 14, 120)), narrow, width };
  }

  function measured(app, m, narrow, size) {   // what does not depend on the width that it gets
    const letters = (names) => Math.max(0, ...names.map((name) => Array.from(clip(name)).length));
    const gutter = Math.ceil(letters(m.rows) * size * LETTER) + 14, long = letters(m.cols);
    const n = m.cols.length, units = n <= 24 ? n : 24 * Math.cbrt(n / 24);
    const least = gutter + (n === 1 ? SLOT : Math.max(110, n <= 10 ? n * 34 : n <= 24 ? n * 13 : 150));
    return { m, size, gutter, long, units: units * m.share, least, labels: true, chars: app.chars(m),
      titleText: app.words(m.title), noteText: app.words(m.note) };
  }

  function packed(line, width, narrow) {   // greedily into lines; a neighbour's row labels serve for both
    const out = [];
    let used = 0;
    for (const box of line) {
      const last = out[out.length - 1], left = last && last[last.length - 1];
      const same = left && left.m.rowAxis === box.m.rowAxis && String(left.m.rows) === String(box.m.rows);
      const need = box.least - (same ? box.gutter : 0) + GAP;
      const alike = !narrow || !left || (left.m.cols.length === 1) === (box.m.cols.length === 1);
      if (last && alike && used + need <= width + GAP && !(narrow && last.length >= 3)) {
        box.labels = !same;
        last.push(box);
        used += need;
      } else {
        out.push([box]);
        used = box.least + GAP;
      }
    }
    return out;
  }

  function fit(line, width) {   // the widths of cells; the height of what stands above them is returned
    const gutters = line.reduce((sum, box) => sum + (box.labels ? box.gutter : 0) + (box.m.cols.length === 1 ? SLOT / 2 : 0), 0);
    const slant = (box) => Math.ceil(box.long * box.size * LETTER * Math.cos(TILT));
    const room = width - gutters - GAP * (line.length - 1) - 6;
    const units = line.reduce((sum, box) => sum + box.units, 0);
    for (const box of line) {
      const n = box.m.cols.length, last = box === line[line.length - 1];
      box.cw = Math.min(66, room * box.units / units / n);
      box.colSize = box.cw >= box.long * box.size * LETTER + 4 ? box.size : Math.max(11, box.size - 2);
      box.level = box.long * box.colSize * LETTER + 3;
      box.tilt = box.cw < box.level && box.long > 3;
      if (box.tilt) box.colSize = box.size;
      if (last && box.tilt) box.cw = Math.min(box.cw, (box.cw * n - Math.max(0, slant(box) - box.cw / 2)) / n);
      box.labelHeight = box.tilt ? Math.ceil(box.long * box.size * LETTER * Math.sin(TILT)) + 10 : 20;
      box.w = box.cw * n;
      const span = Math.max(box.w, SLOT) + (box.labels ? box.gutter : 0) + (last ? 0 : GAP - 12);
      box.title = wrapped(box.titleText, span, 16, 600);
      box.note = box.noteText ? wrapped(box.noteText, span, 14, 400) : [];
      box.numbers = box.chars > 0 && (box.cw - 5) / (LETTER * box.chars) >= 8.5;
      box.foot = box.note.length * 18 + (box.numbers ? 0 : LEGEND);
    }
    return Math.max(...line.map((box) => box.title.length * 20)) + 20 + Math.max(...line.map((box) => box.labelHeight));
  }

  function placed(line, y, head, ch) {
    let x = 0, bottom = y;
    const titles = Math.max(...line.map((box) => box.title.length)) * 20;
    for (const box of line) {
      const rows = box.m.rows.length, cols = box.m.cols.length;
      box.ch = ch;
      if (rows === cols && rows > 8) {   // a map stays nearly square
        box.cw = Math.min(box.cw, rows > 24 ? ch : ch * 1.9);
        if (rows > 24) box.ch = box.cw;
        box.w = box.cw * cols;
      }
      box.titleX = x;
      box.titleY = y + titles - 20 * (box.title.length - 1) - 5;
      box.axisY = y + titles + 13;
      box.x = x + (box.labels ? box.gutter : 0);
      box.y = y + head;
      box.h = box.ch * rows;
      box.everyRow = Math.max(1, Math.ceil(box.size * 1.15 / box.ch));
      box.everyCol = Math.max(1, Math.ceil((box.tilt ? box.colSize + 1 : box.level) / box.cw));
      box.legendY = box.y + box.h + 10;
      box.noteY = box.y + box.h + 19 + (box.numbers ? 0 : LEGEND);
      box.font = box.numbers ? Math.min(16, ch * 0.56, (box.cw - 5) / (LETTER * box.chars)) : 0;
      x = box.x + Math.max(box.w, box.m.cols.length === 1 ? SLOT : 0) + GAP;
      bottom = Math.max(bottom, box.y + box.h + box.foot + (box.foot ? 6 : 0));
    }
    return bottom;
  }

  function wrapped(text, width, size, weight) {
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
      if (lines.length && surface.width(longer, size, plot.SANS, weight) <= width) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  }

  function clip(label) {
    const letters = Array.from(gf.chipText(String(label)));
    return letters.length <= MOST ? letters.join("") : `${letters.slice(0, MOST - 1).join("")}…`;
  }

  function at(found, x, y) {
    for (const box of found.boxes) {
      const col = Math.floor((x - box.x) / box.cw), row = Math.floor((y - box.y) / box.ch);
      if (row >= 0 && row < box.m.rows.length && col >= 0 && col < box.m.cols.length) return { m: box.m, row, col };
    }
    return null;
  }

  return { of, at, clip };
})();
