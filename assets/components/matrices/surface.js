/* surface: plot's drawing calls, and two more: an outline, and words at a slant.

   surface.onCanvas(ctx), surface.onSvg(gf.svg(...))  ->  s
       s.tilted(x, y, text, degrees, {fill, size, family})
       s.outline(x, y, w, h, {stroke, lineWidth})
   surface.width(text, size, family, weight) -> pixels */
const surface = (() => {
  const outline = (s) => (x, y, w, h, { stroke, lineWidth = 1.5 }) =>
    s.line([[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y - lineWidth / 2]], { stroke, lineWidth });

  function onCanvas(ctx) {
    const s = plot.onCanvas(ctx);
    return {
      ...s,
      outline: outline(s),
      tilted(x, y, text, degrees, { fill, size = 13, family = plot.MONO }) {
        ctx.save();
        ctx.translate(x, y);
        ctx.rotate(degrees * Math.PI / 180);
        s.text(0, 0, text, { fill, size, family });
        ctx.restore();
      },
    };
  }

  function onSvg(svg) {
    const s = plot.onSvg(svg);
    return {
      ...s,
      outline: outline(s),
      tilted: (x, y, text, degrees, { fill, size = 13, family = plot.MONO }) =>
        svg.text(x, y, text, { fill, size, family, rotate: degrees }),
    };
  }

  const ruler = document.createElement("canvas").getContext("2d");
  function width(text, size, family = plot.MONO, weight = 400) {
    ruler.font = `${weight} ${size}px ${family}`;
    return ruler.measureText(text).width;
  }

  return { onCanvas, onSvg, width };
})();
