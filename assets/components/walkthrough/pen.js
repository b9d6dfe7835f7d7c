// One drawing vocabulary, two ways out: the canvas on the page, and an SVG file.
function canvasPen(ctx) {
  return {
    rect(x, y, w, h, { fill, stroke, radius = 0, width = 1 } = {}) {
      ctx.beginPath();
      if (radius) ctx.roundRect(x, y, w, h, radius);
      else ctx.rect(x, y, w, h);
      if (fill) { ctx.fillStyle = fill; ctx.fill(); }
      if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = width; ctx.stroke(); }
    },
    path(d, { fill, stroke, width = 1, cap = "butt" } = {}) {
      const path = new Path2D(d);
      if (fill) { ctx.fillStyle = fill; ctx.fill(path); }
      if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = width; ctx.lineCap = cap; ctx.stroke(path); }
    },
    text(x, y, text, { fill, size = 13, anchor = "start", family, weight = 400, italic = false } = {}) {
      ctx.font = `${italic ? "italic " : ""}${weight} ${size}px ${family}`;
      ctx.textAlign = anchor === "middle" ? "center" : anchor;
      ctx.textBaseline = "alphabetic";
      ctx.fillStyle = fill;
      ctx.fillText(text, x, y);
    },
    image(source, x, y, w, h, row = 0, rows = source.height) {   // some rows of a picture, unsmoothed
      ctx.imageSmoothingEnabled = false;
      ctx.drawImage(source, 0, row, source.width, rows, x, y, w, h);
    },
    layer(alpha, boxes, draw) {   // draw faded, and only inside the boxes if there are any
      ctx.save();
      ctx.globalAlpha *= alpha;
      if (boxes) {
        ctx.beginPath();
        for (const { x, y, w, h } of boxes) ctx.rect(x, y, w, h);
        ctx.clip();
      }
      draw();
      ctx.restore();
    },
  };
}

function svgPen(width, height, background) {
  const parts = [`<rect width="${width}" height="${height}" fill="${background}"/>`];
  const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const look = ({ fill, stroke, width: w = 1, cap }) => `fill="${fill || "none"}"`
    + (stroke ? ` stroke="${stroke}" stroke-width="${w}"${cap ? ` stroke-linecap="${cap}"` : ""}` : "");
  const r = (v) => Math.round(v * 100) / 100;
  let clips = 0;
  return {
    rect: (x, y, w, h, style = {}) => parts.push(
      `<rect x="${r(x)}" y="${r(y)}" width="${r(Math.max(0, w))}" height="${r(Math.max(0, h))}" rx="${style.radius || 0}" ${look(style)}/>`),
    path: (d, style = {}) => parts.push(`<path d="${d}" ${look(style)}/>`),
    text: (x, y, text, { fill, size = 13, anchor = "start", family, weight = 400, italic = false } = {}) => parts.push(
      `<text x="${r(x)}" y="${r(y)}" fill="${fill}" font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" `
      + `font-family="${escape(family)}"${italic ? ' font-style="italic"' : ""} xml:space="preserve">${escape(text)}</text>`),
    image(source, x, y, w, h, row = 0, rows = source.height) {
      const cut = document.createElement("canvas");
      cut.width = source.width;
      cut.height = rows;
      cut.getContext("2d").drawImage(source, 0, row, source.width, rows, 0, 0, source.width, rows);
      parts.push(`<image x="${r(x)}" y="${r(y)}" width="${r(w)}" height="${r(h)}" preserveAspectRatio="none" `
        + `image-rendering="pixelated" href="${cut.toDataURL()}"/>`);
    },
    layer(alpha, boxes, draw) {
      let clip = "";
      if (boxes) {
        clip = ` clip-path="url(#c${clips})"`;
        parts.push(`<clipPath id="c${clips++}">${boxes.map(({ x, y, w, h }) =>
          `<rect x="${r(x)}" y="${r(y)}" width="${r(w)}" height="${r(h)}"/>`).join("")}</clipPath>`);
      }
      parts.push(`<g opacity="${alpha}"${clip}>`);
      draw();
      parts.push("</g>");
    },
    toString: () => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${r(width)} ${r(height)}" width="${r(width)}" `
      + `height="${r(height)}">${parts.join("\n")}</svg>`,
  };
}
