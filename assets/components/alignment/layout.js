/* Where everything of the alignment goes: two lines of words with links between them, and under them the map.

   lay.of(app, width) -> {words, map, height, narrow}
       words: {upright, top, bottom, source: [{x, y, w}], target: [{x, y, w}], size}   upright: two columns, for long texts
       map: {x, y, cw, ch, w, h, size, tilt, font, titleY, axisY}
   lay.at(found, x, y) -> {row, col} of the map, or null */
const lay = (() => {
  const TILT = 55 * Math.PI / 180, MONO = 0.602, DROP = 72;

  function of(app, width) {
    const narrow = width < 560, words = lines(app, width, narrow);
    const map = matrix(app, width, narrow, words.bottom + 34);
    return { words, map, narrow, width, height: Math.ceil(map.y + map.h + 40) };
  }

  function lines(app, width, narrow) {
    const both = [app.spec.sourceWords, app.spec.targetWords];
    const measured = (size) => {   // how wide each word is, and each line of them with some air
      const rows = both.map((row) => row.map((word) => surface.width(word.text, size, plot.SANS, 600)));
      return { size, gap: size, rows, need: rows.map((row) => row.reduce((a, b) => a + b, 0) + size * (row.length - 1)) };
    };
    const tried = (narrow ? [15] : [19, 17, 15, 14]).map(measured);
    const fitting = tried.find(({ need }) => Math.max(...need) <= width - 8);
    if (!fitting) return columns(app, tried[0].rows, tried[0].size, width);
    const { size, gap, rows, need } = fitting;
    const spread = Math.min(width - 8, Math.max(...need) * 1.5);
    const place = (row, total, y) => {
      const space = row.length > 1 ? Math.min(90, gap + (spread - total) / (row.length - 1)) : 0;
      let x = 4;
      return row.map((w) => { const at = { x: x + w / 2, y, w }; x += w + space; return at; });
    };
    const top = 44, bottom = top + DROP + 18;
    return { upright: false, size, top, bottom: bottom + 20,
      source: place(rows[0], need[0], top), target: place(rows[1], need[1], bottom) };
  }

  function columns(app, rows, size, width) {   // the source on the left, ending where the links begin
    const step = size * 1.55, left = Math.max(...rows[0]) + 4, right = Math.min(width - Math.max(...rows[1]) - 4, left + 260);
    const place = (row, x, sign) => row.map((w, i) => ({ x: x - sign * w / 2, y: 48 + i * step, w, edge: x + sign * 8 }));
    return { upright: true, size, top: 48, bottom: 48 + step * (Math.max(rows[0].length, rows[1].length) - 1) + 10,
      source: place(rows[0], left, 1), target: place(rows[1], right, -1) };
  }

  function matrix(app, width, narrow, y) {
    const { source, target } = app.spec, size = narrow ? 12 : 14, long = (names) => Math.max(...names.map((n) => Array.from(n).length));
    const gutter = Math.ceil(long(target) * size * MONO) + 16, n = source.length, m = target.length;
    const room = width - gutter - 8, level = long(source) * size * MONO + (long(source) > 1 ? 6 : 1);
    let cw = Math.min(74, room / n);
    const tilt = cw < level;
    const over = Math.ceil(long(source) * size * MONO * Math.cos(TILT));
    if (tilt) cw = Math.min(cw, (room - Math.max(0, over - cw / 2)) / n);
    const ch = Math.max(m > 30 ? 14 : 20, Math.min(30, 320 / m)), head = tilt ? Math.ceil(long(source) * size * MONO * Math.sin(TILT)) + 12 : 24;
    const font = cw >= 29 && ch >= 17 ? Math.min(15, cw * 0.36, ch * 0.6) : 0;
    return { x: gutter, y: y + 26 + head, w: cw * n, h: ch * m, cw, ch, size, tilt, font, titleY: y + 4, axisY: y + 25 };
  }

  function at({ map }, x, y) {
    const col = Math.floor((x - map.x) / map.cw), row = Math.floor((y - map.y) / map.ch);
    return x >= map.x && y >= map.y && x < map.x + map.w && y < map.y + map.h ? { row, col } : null;
  }

  return { of, at };
})();
