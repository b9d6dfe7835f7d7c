/* plot: what the line charts share. Put between common.js and index.js: declare("curves", "plot.js").

   One set of drawing calls on two surfaces, so that the SVG download is the picture on the screen, as vectors:
   plot.onCanvas(ctx), plot.onSvg(gf.svg(...))  ->  p with
       p.line(points, {stroke, lineWidth, dash, opacity})    points [[x, y], …]; a NaN breaks the line
       p.area(points, {fill, opacity})
       p.rect(x, y, w, h, {fill, stroke, radius, opacity})
       p.circle(x, y, r, {fill, stroke, lineWidth, opacity})
       p.text(x, y, text, {fill, size, anchor, family, weight})
       p.image(source, x, y, w, h)       a small canvas, enlarged without smoothing
       p.matrix(values, rows, cols, x, y, w, h, map, lo, hi)   gf.matrix on either surface
   plot.scale(lo, hi, from, to, log)   ->  f(value) in pixels, with f.invert(pixel)
   plot.ticks(lo, hi, count, log)      ->  round values
   plot.frame(p, c, box, x, y, {logX, logY, last, xLabel, countX, countY, percentY, edge})   grid and tick labels; last:
                                           the bottom panel, which has the x labels; edge: how far right they may reach
   plot.tick(value, percent)           ->  "1,000", "0.25", "−3"; "25%"
   plot.scrubber(label, change)        ->  {element, set(names, at)}: a slider over named positions
   plot.buttons(change)                ->  {element, set(label, names, at)}: one of a few names to pick
   plot.saveSvg(name, {width, height}, background, draw)   draw(p, width, height) once more, into a file
   plot.foot(view, name, saveSvg)      ->  {sum, tools}: what is read out under a picture, and the buttons that save it;
                                           name(): the stem of the PNG
   plot.picture(root, name, layout, draw)   ->  {view, sum, tools, fit()}: a canvas as tall as layout(w).height, drawn by
                                           draw(p, layout); layout(w) is null while there is nothing; fit(): after new data
   plot.readable(c, fill)              ->  ink or background, whichever stands out more on the fill */
const plot = (() => {
  const SANS = '"Source Sans", "Source Sans Pro", system-ui, sans-serif';
  const MONO = '"Source Code Pro", ui-monospace, Menlo, monospace';

  function runs(points) {   // split at NaN
    const out = [[]];
    for (const point of points) {
      if (Number.isFinite(point[0]) && Number.isFinite(point[1])) out[out.length - 1].push(point);
      else if (out[out.length - 1].length) out.push([]);
    }
    return out.filter((run) => run.length > 1);
  }

  function onCanvas(ctx) {
    const trace = (points) => {
      ctx.beginPath();
      points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    };
    return {
      line(points, { stroke, lineWidth = 1, dash, opacity = 1 }) {
        ctx.save();
        ctx.globalAlpha = opacity;
        ctx.strokeStyle = stroke;
        ctx.lineWidth = lineWidth;
        ctx.lineJoin = "round";
        if (dash) ctx.setLineDash(dash);
        for (const run of runs(points)) { trace(run); ctx.stroke(); }
        ctx.restore();
      },
      area(points, { fill, opacity = 1 }) {
        ctx.save();
        ctx.globalAlpha = opacity;
        ctx.fillStyle = fill;
        trace(points);
        ctx.closePath();
        ctx.fill();
        ctx.restore();
      },
      rect(x, y, w, h, { fill, stroke, radius = 0, opacity = 1 }) {
        ctx.save();
        ctx.globalAlpha = opacity;
        ctx.beginPath();
        ctx.roundRect(x, y, w, h, radius);
        if (fill) { ctx.fillStyle = fill; ctx.fill(); }
        if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = 1; ctx.stroke(); }
        ctx.restore();
      },
      circle(x, y, r, { fill, stroke, lineWidth = 1, opacity = 1 }) {
        ctx.save();
        ctx.globalAlpha = opacity;
        ctx.beginPath();
        ctx.arc(x, y, r, 0, 2 * Math.PI);
        if (fill) { ctx.fillStyle = fill; ctx.fill(); }
        if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = lineWidth; ctx.stroke(); }
        ctx.restore();
      },
      text(x, y, text, { fill, size = 13, anchor = "start", family = MONO, weight = 400 }) {
        ctx.font = `${weight} ${size}px ${family}`;
        ctx.fillStyle = fill;
        ctx.textAlign = { start: "left", middle: "center", end: "right" }[anchor];
        ctx.textBaseline = "alphabetic";
        ctx.fillText(text, x, y);
      },
      image(source, x, y, w, h) {
        ctx.imageSmoothingEnabled = false;
        ctx.drawImage(source, x, y, w, h);
      },
      matrix: (...given) => gf.matrix(ctx, ...given),
    };
  }

  function onSvg(svg) {
    const d = (points, close) => points.map(([x, y], i) => `${i ? "L" : "M"}${round(x)} ${round(y)}`).join("")
      + (close ? "Z" : "");
    const round = (v) => Math.round(v * 100) / 100;
    function image(source, x, y, w, h) {   // an SVG keeps the sides of a picture in proportion: enlarge it first
      const copy = document.createElement("canvas"), ctx = copy.getContext("2d");
      copy.width = Math.round(2 * w);
      copy.height = Math.round(2 * h);
      ctx.imageSmoothingEnabled = false;
      ctx.drawImage(source, 0, 0, copy.width, copy.height);
      svg.image(copy, x, y, w, h);
    }
    return {
      line(points, { stroke, lineWidth = 1, dash, opacity = 1 }) {
        for (const run of runs(points)) {
          svg.line(run.map(([x, y]) => [round(x), round(y)]), { stroke, lineWidth, dash, opacity });
        }
      },
      area: (points, { fill, opacity = 1 }) => svg.path(d(points, true), { fill, opacity }),
      rect(x, y, w, h, { fill, stroke, radius = 0, opacity = 1 }) {
        const r = Math.min(radius, w / 2, h / 2);
        svg.path(`M${round(x + r)} ${round(y)}h${round(w - 2 * r)}a${r} ${r} 0 0 1 ${r} ${r}v${round(h - 2 * r)}`
          + `a${r} ${r} 0 0 1 ${-r} ${r}h${round(2 * r - w)}a${r} ${r} 0 0 1 ${-r} ${-r}v${round(2 * r - h)}`
          + `a${r} ${r} 0 0 1 ${r} ${-r}Z`, { fill, stroke, opacity });
      },
      circle(x, y, r, { fill, stroke, lineWidth = 1, opacity = 1 }) {
        svg.path(`M${round(x - r)} ${round(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
          { fill, stroke, lineWidth, opacity });
      },
      text: (x, y, text, { fill, size = 13, anchor = "start", family = MONO }) =>
        svg.text(round(x), round(y), text, { fill, size, anchor, family }),
      image,
      matrix(values, rows, cols, x, y, w, h, map, lo, hi) {
        const one = Object.assign(document.createElement("canvas"), { width: cols, height: rows });
        gf.matrix(one.getContext("2d"), values, rows, cols, 0, 0, cols, rows, map, lo, hi);
        image(one, x, y, w, h);
      },
    };
  }

  function scale(lo, hi, from, to, log = false) {
    const a = log ? Math.log10(lo) : lo, b = log ? Math.log10(hi) : hi;
    const gain = (to - from) / (b - a || 1);
    const f = (value) => from + ((log ? Math.log10(value) : value) - a) * gain;
    f.invert = (pixel) => { const v = a + (pixel - from) / gain; return log ? 10 ** v : v; };
    f.lo = lo;
    f.hi = hi;
    return f;
  }

  function ticks(lo, hi, count = 5, log = false) {
    const found = [];
    if (log) {
      const from = Math.ceil(Math.log10(lo) - 1e-9), to = Math.floor(Math.log10(hi) + 1e-9);
      const step = Math.max(1, Math.ceil((to - from + 1) / (count + 1)));
      for (let e = from; e <= to; e += step) found.push(10 ** e);
      if (found.length < 2) {   // too short for powers of ten alone
        return [from - 1, from].flatMap((e) => [1, 2, 5].map((m) => m * 10 ** e)).filter((v) => v >= lo && v <= hi);
      }
      return found;
    }
    const raw = (hi - lo) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
    for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-6; i++) found.push(i * step);
    return found;
  }

  function tick(value, percent = false) {
    if (Math.abs(value) < 1e-25) return "0";
    if (percent) return `${Number((100 * value).toPrecision(3))}%`.replace("-", "−");
    const size = Math.abs(value);
    if (size >= 1e10) return value.toExponential(0).replace("+", "").replace("-", "−");
    if (size >= 1e5 && size < 1e6) return `${Math.round(value / 1e3)} k`.replace("-", "−");
    if (size >= 1e6) return `${String(Number((value / 1e6).toPrecision(3))).replace("-", "−")} M`;
    const text = size >= 1000 ? Math.round(value).toLocaleString("en-US")
      : size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(4)));
    return text.replace("-", "−");
  }

  function frame(p, c, box, x, y, { logX = false, logY = false, last = true, xLabel = "", countX = 6, countY = 4,
    percentY = false, edge = Infinity } = {}) {
    for (const value of ticks(y.lo, y.hi, countY, logY)) {
      const at = y(value), zero = value === 0;
      p.line([[box.x, at], [box.x + box.w, at]], { stroke: zero ? c.muted : c.line, opacity: zero ? 0.7 : 1 });
      p.text(box.x - 8, at + 4, tick(value, percentY), { fill: c.muted, anchor: "end" });
    }
    for (const value of ticks(x.lo, x.hi, countX, logX)) {
      const at = x(value);
      p.line([[at, box.y], [at, box.y + box.h]], { stroke: c.line, opacity: Math.abs(value) < 1e-12 ? 1 : 0.6 });
      if (!last) continue;
      const name = tick(value), half = 4.2 * name.length;   // of the tick font
      p.text(Math.min(at, edge - half), box.y + box.h + 18, name, { fill: c.muted, anchor: "middle" });
    }
    if (last && xLabel) {
      p.text(box.x + box.w / 2, box.y + box.h + 40, xLabel, { fill: c.ink, anchor: "middle", family: SANS, size: 15 });
    }
  }

  function scrubber(label, change) {
    const element = document.createElement("label"), range = document.createElement("input");
    const title = document.createElement("span"), value = document.createElement("output");
    let names = [];
    const say = () => {
      value.textContent = names[range.value];
      range.setAttribute("aria-valuetext", names[range.value]);
    };
    element.className = "gf-scrubber";
    range.type = "range";
    range.min = 0;
    title.textContent = label;
    element.append(title, range, value);
    range.addEventListener("input", () => { say(); change(Number(range.value)); });
    return {
      element,
      set(list, at) {
        names = list;
        range.max = list.length - 1;
        range.value = at;
        say();
      },
    };
  }

  let groups = 0;
  function buttons(change) {
    const element = document.createElement("div"), title = document.createElement("span"), group = `gf-pick-${groups++}`;
    element.className = "gf-pick";
    element.setAttribute("role", "radiogroup");
    return {
      element,
      set(label, names, at) {
        title.textContent = label;
        element.setAttribute("aria-label", label);
        const radios = element.querySelectorAll("input");
        if (String(Array.from(radios, (radio) => radio.value)) === String(names)) {   // the focus stays where it is
          radios.forEach((radio) => { radio.checked = radio.value === at; });
          return;
        }
        element.replaceChildren(title, ...names.map((name) => {
          const one = document.createElement("label"), radio = document.createElement("input");
          radio.type = "radio";
          radio.name = group;
          radio.value = name;
          radio.checked = name === at;
          radio.addEventListener("change", () => change(name));
          one.append(radio, name);
          return one;
        }));
      },
    };
  }

  function saveSvg(name, { width, height }, background, draw) {
    const svg = gf.svg(width, height, background);
    draw(onSvg(svg), width, height);
    svg.save(name);
  }

  function foot(view, name, saveSvg) {
    const sum = Object.assign(document.createElement("p"), { className: "sum" });
    const tools = Object.assign(document.createElement("div"), { className: "tools" });
    sum.setAttribute("role", "status");
    tools.append(gf.button("SVG", () => saveSvg(), { label: "Save this picture as SVG" }),
      gf.button("PNG", () => gf.savePng(view.canvas, `${name()}.png`), { label: "Save this picture as PNG" }));
    return { sum, tools };
  }

  function picture(root, name, layout, draw) {
    const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => {
      const l = layout(w);
      if (!l) return;
      if (Math.abs(h - l.height) > 1) view.canvas.style.height = `${l.height}px`;   // and it is drawn again
      else draw(onCanvas(ctx), l);
    } });
    const { sum, tools } = foot(view, () => name, () => saveSvg(`${name}.svg`, view.size(), gf.colours(root).background,
      (p, w) => draw(p, layout(w))));
    return { view, sum, tools, fit() { view.canvas.style.height = `${layout(view.size().width || 900).height}px`; } };
  }

  function readable(c, fill) {
    const light = (colour) => gf.rgb(colour).reduce((sum, v, i) => sum + [0.2126, 0.7152, 0.0722][i] * (v / 255) ** 2.2, 0.05);
    const contrast = (text) => Math.max(light(text), light(fill)) / Math.min(light(text), light(fill));
    return contrast(c.ink) >= contrast(c.background) ? c.ink : c.background;
  }

  return { onCanvas, onSvg, scale, ticks, tick, frame, scrubber, buttons, saveSvg, foot, picture, readable, SANS, MONO };
})();
