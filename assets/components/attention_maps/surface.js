/* surface(ctx, mono) -> draws on a canvas with the calls of gf.svg, so that one function paints the screen and the file.

   rect(x, y, w, h, {fill, stroke, lineWidth, radius}), path(d, {fill, stroke, lineWidth, opacity}),
   text(x, y, text, {fill, size, anchor, rotate}), image(source, x, y, w, h) */
const surface = (ctx, mono) => ({
  rect(x, y, w, h, { fill, stroke, lineWidth = 1, radius = 0 } = {}) {
    ctx.beginPath();
    ctx.roundRect(x, y, Math.max(0, w), Math.max(0, h), radius);
    if (fill) { ctx.fillStyle = fill; ctx.fill(); }
    if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = lineWidth; ctx.stroke(); }
  },
  path(d, { fill, stroke, lineWidth = 1, opacity = 1 } = {}) {
    const shape = new Path2D(d);
    ctx.globalAlpha = opacity;
    if (fill) { ctx.fillStyle = fill; ctx.fill(shape); }
    if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = lineWidth; ctx.stroke(shape); }
    ctx.globalAlpha = 1;
  },
  text(x, y, text, { fill, size = 13, anchor = "start", rotate = 0 } = {}) {
    ctx.save();
    ctx.translate(x, y);
    if (rotate) ctx.rotate(rotate * Math.PI / 180);
    ctx.font = `${size}px ${mono}`;
    ctx.fillStyle = fill;
    ctx.textAlign = anchor === "middle" ? "center" : anchor;
    ctx.fillText(text, 0, 0);
    ctx.restore();
  },
  image(source, x, y, w, h) {
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(source, x, y, w, h);
  },
});
