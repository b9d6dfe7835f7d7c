/* boundary_paint: the map of one stack over the plane, and the lines along which its answer changes.

   boundary_paint.map(p, c, spec, at, box)              what a run says of every place, at: {maps, frame}
   boundary_paint.contour(spec, at, score)              where its answer changes, for p.line once it is scaled
   boundary_paint.points(p, c, spec, box)               what it learns from: ● ■ ▲ by class
   boundary_paint.share(spec, at, class, cell)          the probability of a class in a cell, 0 … 1
   boundary_paint.colour(c, class) */
const boundary_paint = (() => {
  const TONES = ["negative", "positive", "ffn"];
  const colour = (c, k) => c[TONES[k]];

  function share(spec, at, k, cell) {
    const size = spec.side * spec.side, of = (j) => at.maps[(at.frame * (spec.classes - 1) + j - 1) * size + cell] / 255;
    if (k > 0) return of(k);
    let rest = 1;
    for (let j = 1; j < spec.classes; j++) rest -= of(j);
    return Math.max(0, rest);
  }

  function map(p, c, spec, at, box) {
    const n = spec.side, small = document.createElement("canvas"), large = document.createElement("canvas");
    small.width = small.height = n;
    const image = new ImageData(n, n), back = gf.rgb(c.background), tones = TONES.map((tone) => gf.rgb(c[tone]));
    for (let cell = 0; cell < n * n; cell++) {
      let best = 0, top = 0;
      for (let k = 0; k < spec.classes; k++) {
        const v = share(spec, at, k, cell);
        if (v > top) { top = v; best = k; }
      }
      const sure = 0.62 * (top - 1 / spec.classes) / (1 - 1 / spec.classes);
      for (let i = 0; i < 3; i++) image.data[4 * cell + i] = back[i] + (tones[best][i] - back[i]) * sure;
      image.data[4 * cell + 3] = 255;
    }
    small.getContext("2d").putImageData(image, 0, 0);
    large.width = large.height = Math.round(2 * box.w);
    const ctx = large.getContext("2d");
    ctx.imageSmoothingEnabled = true;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(small, 0, 0, large.width, large.height);
    p.image(large, box.x, box.y, box.w, box.w);
  }

  /* Marching squares: for each class the line on which it and the strongest of the others are equal, as points in shares of
     the map's side, pair by pair with a NaN between. score(class, row, col): by what a class leads, where that is known more
     finely than the map. */
  function contour(spec, at, score) {
    const n = spec.side, found = [], of = score ?? ((j, row, col) => share(spec, at, j, row * n + col));
    for (let k = spec.classes === 2 ? 1 : 0; k < spec.classes; k++) {
      const lead = new Float64Array(n * n);
      for (let cell = 0; cell < n * n; cell++) {
        const row = Math.floor(cell / n), col = cell % n;
        let most = -Infinity;
        for (let j = 0; j < spec.classes; j++) if (j !== k) most = Math.max(most, of(j, row, col));
        lead[cell] = of(k, row, col) - most;
      }
      const corners = [[0, 0], [0, 1], [1, 1], [1, 0]];
      for (let row = 0; row + 1 < n; row++) {
        for (let col = 0; col + 1 < n; col++) {
          const cut = [];
          for (let e = 0; e < 4; e++) {
            const [r0, c0] = corners[e], [r1, c1] = corners[(e + 1) % 4];
            const a = lead[(row + r0) * n + col + c0], b = lead[(row + r1) * n + col + c1];
            if ((a > 0) === (b > 0)) continue;
            const t = a / (a - b);
            cut.push([(col + 0.5 + c0 + (c1 - c0) * t) / n, (row + 0.5 + r0 + (r1 - r0) * t) / n]);
          }
          for (let e = 0; e + 1 < cut.length; e += 2) found.push(cut[e], cut[e + 1], [NaN, NaN]);
        }
      }
    }
    return found;
  }

  function points(p, c, spec, box) {
    const { x, y } = spec.arrays, unit = box.w / (2 * spec.reach), r = Math.max(1.8, box.w / 105);
    for (let i = 0; i < y.length; i++) {
      const px = box.x + box.w / 2 + x[2 * i] * unit, py = box.y + box.w / 2 - x[2 * i + 1] * unit;
      if (px < box.x + r || px > box.x + box.w - r || py < box.y + r || py > box.y + box.w - r) continue;
      const fill = colour(c, y[i]);
      if (y[i] === 0) p.circle(px, py, r, { fill, stroke: c.background, lineWidth: 1 });
      else if (y[i] === 1) p.rect(px - r, py - r, 2 * r, 2 * r, { fill, stroke: c.background });
      else p.area([[px, py - 1.3 * r], [px + 1.2 * r, py + r], [px - 1.2 * r, py + r]], { fill });
    }
  }

  return { map, contour, points, share, colour };
})();
