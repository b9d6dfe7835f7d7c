/* gf: what the canvas components share. This file is put in front of each index.js, inside the same module.

   export default (component) => gf.mount(component, create)
       create(root, component) is called once per place on the page and returns {update(component), destroy()?}.
       Streamlit calls the default export again on every new data and on a theme switch: mount turns that into
       update(component), so that listeners, zoom and animation survive; so does ahead.js, for a picture that was sent
       ahead. `component` has .data (for gf.unpack, or the object that the page gave), .ask(box, value) (ahead.js),
       .setStateValue(name, value), .setTriggerValue(name, value). Report only what the learner settled on (a click), not
       every hover: each report is a round trip to the server.
       root is a <div> inside component.parentElement (a shadow root: common.css and the component's style.css apply).
   gf.unpack(data)                 -> the header of charts/component.pack, with .arrays: name -> typed array with .shape
   gf.colours(root)                -> {background, panel, ink, muted, line, query, key, value, scores, attention, ffn,
                                       residual, output, negative, positive} as "rgb(r, g, b)" of the theme in force
   gf.rgb(colour)                  -> [r, g, b]
   gf.mix(a, b, share)             -> the colour `share` of the way from a to b
   gf.sequential(root, role)       -> colour map 0..1: background to role ("attention" if not given); a gf map
   gf.diverging(root)              -> colour map 0..1: blue, background at 0.5, rust; a gf map
       a gf map: map(t) -> "rgb(...)"; map.lut: Uint8ClampedArray [256 * 4]
   gf.canvas(root, {label, draw})  -> {canvas, redraw(), size(): {width, height}, destroy()}; sharp on every screen.
       draw(ctx, width, height) gets CSS pixels. Set the height by CSS or canvas.style.height. It is called on resize too.
   gf.matrix(ctx, values, rows, cols, x, y, w, h, map, lo, hi)   paint a matrix as one image; NaN stays background
   gf.tooltip(wrap)                -> {show(x, y, lines), hide()}; lines: strings, or {text, colour, strong}; text only
   gf.chipText(piece)              -> piece as shown: leading space as "·" mark, newline "⏎", tab "⇥"
   gf.chip(piece)                  -> a <span class="gf-chip"> of it
   gf.number(x, digits = 3)        -> "0.042", "1.2e-5": two to three significant digits, a true minus sign
   gf.reducedMotion()              -> true where the system asks for less motion
   gf.animate(ms, step, done)      -> {stop(), pause(), resume(), running}; step(t in 0..1, eased); jumps to 1 if motion is reduced
   gf.keys(element, {ArrowLeft: f, " ": f, h: f})   keyboard map on a focusable element; handled keys do not scroll
   gf.button(text, onClick, {label, pressed})       a <button class="gf-button">
   gf.savePng(canvas, name), gf.saveText(text, name, mime)       client-side downloads
   gf.svg(width, height, background) -> recorder with a canvas-like set: rect, line, text, image(canvas…); .save(name)

   Text of the learner goes in through textContent or fillText, never as HTML. */
const gf = (() => {
  const ROLES = ["background", "panel", "ink", "muted", "line", "query", "key", "value", "scores", "attention", "ffn",
    "residual", "output", "negative", "positive"];
  const instances = new WeakMap();

  function mount(component, create) {
    const parent = component.parentElement;
    let instance = instances.get(parent);
    const known = Boolean(instance);
    const show = (data) => ({ ...component, data, ask: (box, value) => ahead.ask(parent, box, value) });
    const draw = (data) => instance.update(instance.latest = show(data));
    const now = ahead.arrive(parent, component.data, (data) => { draw(data); paintNow(); });
    if (!known) {
      const root = document.createElement("div");
      root.className = "gf-root";
      parent.appendChild(root);
      instance = create(root, show(now));
      instance.root = root;
      instances.set(parent, instance);
    }
    draw(now);
    if (known) paintNow();
    if (!styled()) onceStyled(() => { if (instances.get(parent) === instance) instance.update(instance.latest); });
    return () => {
      instances.delete(parent);
      ahead.forget(parent);
      if (instance.destroy) instance.destroy();
      instance.root.remove();
    };
  }

  // On a cold start a component may be here before the page's style sheet, and would paint in colours that are not there.
  const styled = () => getComputedStyle(document.documentElement).getPropertyValue("--gf-ink") !== "";
  function onceStyled(act, frames = 600) {
    if (styled()) act();
    else if (frames) requestAnimationFrame(() => onceStyled(act, frames - 1));
  }

  function unpack(data) {
    const header = ahead.parsed(data), { bytes, start } = header[ahead.BODY];
    const kinds = { float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
      int32: Int32Array };
    const arrays = {};
    for (const [name, { dtype, shape, offset }] of Object.entries(header.arrays)) {
      const count = shape.reduce((a, b) => a * b, 1);
      const array = dtype === "float16"
        ? widen(new Uint16Array(bytes.buffer, start + offset, count))
        : new kinds[dtype](bytes.buffer, start + offset, count);
      array.shape = shape;
      arrays[name] = array;
    }
    return { ...header, arrays };
  }

  let widened = null;   // what each of the 65 536 halves is: reading a table is many times faster than the arithmetic
  function widen(half) {   // IEEE float16 -> float32, without Float16Array, which older browsers lack
    widened ??= Float32Array.from({ length: 65536 }, (_, bits) => {
      const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 32768 ? -1 : 1;
      if (exponent === 0) return sign * fraction * 2 ** -24;
      if (exponent === 31) return fraction ? NaN : sign * Infinity;
      return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    });
    const out = new Float32Array(half.length);
    for (let i = 0; i < half.length; i++) out[i] = widened[half[i]];
    return out;
  }

  function colours(root) {
    const probe = document.createElement("span");
    probe.style.display = "none";
    root.appendChild(probe);
    const found = {};
    for (const role of ROLES) {
      probe.style.color = `var(--gf-${role})`;
      found[role] = getComputedStyle(probe).color;
    }
    probe.remove();
    return found;
  }

  function rgb(colour) {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    return numbers.slice(0, 3);
  }

  function mix(a, b, share) {
    const x = rgb(a), y = rgb(b);
    return `rgb(${x.map((v, i) => Math.round(v + (y[i] - v) * share)).join(", ")})`;
  }

  function scale(stops) {   // stops: [[t, colour], ...] as in charts/theme.py
    const lut = new Uint8ClampedArray(256 * 4);
    let at = 0;
    for (let i = 0; i < 256; i++) {
      const t = i / 255;
      while (at < stops.length - 2 && t > stops[at + 1][0]) at++;
      const [t0, c0] = stops[at], [t1, c1] = stops[at + 1];
      lut.set([...rgb(mix(c0, c1, Math.min(1, (t - t0) / (t1 - t0)))), 255], i * 4);
    }
    const map = (t) => {
      const i = 4 * Math.round(255 * Math.min(1, Math.max(0, t)));
      return `rgb(${lut[i]}, ${lut[i + 1]}, ${lut[i + 2]})`;
    };
    map.lut = lut;
    return map;
  }

  function sequential(root, role = "attention") {
    const c = colours(root);
    return scale([[0, c.background], [0.5, mix(c.background, c[role], 0.55)], [1, c[role]]]);
  }

  function diverging(root) {
    const c = colours(root);
    return scale([[0, c.negative], [0.25, mix(c.background, c.negative, 0.5)], [0.5, c.background],
      [0.75, mix(c.background, c.positive, 0.5)], [1, c.positive]]);
  }

  function canvas(root, { label, draw }) {
    const wrap = document.createElement("div");
    wrap.className = "gf-canvas-wrap";
    const element = document.createElement("canvas");
    element.tabIndex = 0;
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", label);
    wrap.appendChild(element);
    root.appendChild(wrap);
    const ctx = element.getContext("2d");
    const size = () => ({ width: element.clientWidth, height: element.clientHeight });
    const paint = () => {
      queued.delete(paint);
      const { width, height } = size();
      if (!width || !height) return;
      const ratio = window.devicePixelRatio || 1;
      const w = Math.round(width * ratio), h = Math.round(height * ratio);
      if (element.width !== w || element.height !== h) { element.width = w; element.height = h; }
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      ctx.clearRect(0, 0, width, height);
      draw(ctx, width, height);
    };
    const redraw = () => { if (!queued.has(paint)) queued.set(paint, requestAnimationFrame(paint)); };
    const observer = new ResizeObserver(redraw);
    observer.observe(element);
    document.fonts.addEventListener("loadingdone", redraw);   // until its font is here a canvas writes in another
    return { wrap, canvas: element, ctx, redraw, size,
      destroy: () => {
        observer.disconnect();
        document.fonts.removeEventListener("loadingdone", redraw);
        cancelAnimationFrame(queued.get(paint));
        queued.delete(paint);
      } };
  }

  const queued = new Map();   // what paints a canvas -> the animation frame that it waits for
  function paintNow() {   // what the server sent is on the screen with everything else that it sent, not a frame later
    for (const [paint, frame] of [...queued]) {
      cancelAnimationFrame(frame);
      paint();
    }
  }

  const scratch = document.createElement("canvas");
  function matrix(ctx, values, rows, cols, x, y, w, h, map, lo, hi) {
    if (!rows || !cols) return;
    const image = new ImageData(cols, rows), pixels = image.data, gain = 255 / (hi - lo || 1);
    for (let i = 0; i < rows * cols; i++) {
      const value = values[i];
      if (Number.isNaN(value)) continue;
      const j = 4 * Math.max(0, Math.min(255, Math.round((value - lo) * gain)));
      pixels[4 * i] = map.lut[j];
      pixels[4 * i + 1] = map.lut[j + 1];
      pixels[4 * i + 2] = map.lut[j + 2];
      pixels[4 * i + 3] = 255;
    }
    scratch.width = cols;
    scratch.height = rows;
    scratch.getContext("2d").putImageData(image, 0, 0);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(scratch, 0, 0, cols, rows, x, y, w, h);
  }

  function tooltip(wrap) {
    const box = document.createElement("div");
    box.className = "gf-tooltip";
    box.setAttribute("role", "status");
    wrap.appendChild(box);
    return {
      show(x, y, lines) {
        box.replaceChildren(...lines.map((line) => {
          const row = document.createElement("div");
          const { text, colour, strong } = typeof line === "string" ? { text: line } : line;
          row.textContent = text;
          if (colour) row.style.color = colour;
          if (strong) row.className = "gf-strong";
          return row;
        }));
        box.classList.add("gf-on");
        const width = box.offsetWidth, height = box.offsetHeight;
        const left = x + 14 + width > wrap.clientWidth ? x - width - 14 : x + 14;
        const top = y + 14 + height > wrap.clientHeight ? y - height - 14 : y + 14;
        box.style.left = `${Math.max(0, Math.min(left, wrap.clientWidth - width))}px`;
        box.style.top = `${Math.max(0, top)}px`;
      },
      hide() { box.classList.remove("gf-on"); },
    };
  }

  function chipText(piece) {
    return piece.replace(/^ /, "·").replace(/\n/g, "⏎").replace(/\t/g, "⇥");
  }

  function chip(piece) {
    const span = document.createElement("span");
    span.className = "gf-chip";
    if (piece.startsWith(" ")) {
      const mark = document.createElement("span");
      mark.className = "gf-mark";
      mark.textContent = "·";
      span.append(mark, chipText(piece.slice(1)));
    } else span.textContent = chipText(piece);
    return span;
  }

  function number(x, digits = 3) {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
    if (x === 0) return "0";
    const size = Math.abs(x);
    const text = size >= 1e5 || size < 1e-4 ? x.toExponential(digits - 2)
      : size >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(digits)));
    return text.replace("-", "−");
  }

  const reducedMotion = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function animate(ms, step, done) {
    const handle = { running: true };
    let elapsed = 0, last = null, frame = 0;
    const ease = (t) => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);
    const tick = (now) => {
      if (last !== null) elapsed += now - last;
      last = now;
      const t = Math.min(1, elapsed / ms);
      step(ease(t), t);
      if (t < 1) frame = requestAnimationFrame(tick);
      else { handle.running = false; if (done) done(); }
    };
    handle.stop = () => { cancelAnimationFrame(frame); handle.running = false; };
    handle.pause = () => { cancelAnimationFrame(frame); last = null; handle.running = false; };
    handle.resume = () => { if (!handle.running) { handle.running = true; frame = requestAnimationFrame(tick); } };
    if (reducedMotion()) { step(1, 1); handle.running = false; if (done) done(); }
    else frame = requestAnimationFrame(tick);
    return handle;
  }

  function keys(element, map) {
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = map[event.key] ?? map[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();   // Streamlit has page-wide shortcuts of its own
      act(event);
    });
  }

  function button(text, onClick, { label, pressed } = {}) {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "gf-button";
    element.textContent = text;
    if (label) element.setAttribute("aria-label", label);
    if (pressed !== undefined) element.setAttribute("aria-pressed", String(pressed));
    element.addEventListener("click", onClick);
    return element;
  }

  function saveBlob(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const saveText = (text, name, mime = "text/plain") => saveBlob(new Blob([text], { type: mime }), name);
  function savePng(source, name) {   // on the page's background, not on nothing
    const copy = document.createElement("canvas");
    copy.width = source.width;
    copy.height = source.height;
    const ctx = copy.getContext("2d");
    ctx.fillStyle = colours(source.parentElement).background;
    ctx.fillRect(0, 0, copy.width, copy.height);
    ctx.drawImage(source, 0, 0);
    copy.toBlob((blob) => saveBlob(blob, name));
  }

  function svg(width, height, background) {
    const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
    const parts = [`<rect width="${width}" height="${height}" fill="${background}"/>`];
    const paint = (fill) => (fill ? `fill="${fill}"` : 'fill="none"');
    return {
      rect: (x, y, w, h, { fill, stroke, radius = 0 } = {}) => parts.push(
        `<rect x="${x}" y="${y}" width="${w}" height="${h}" rx="${radius}" ${paint(fill)}`
        + (stroke ? ` stroke="${stroke}"/>` : "/>")),
      line: (points, { stroke, lineWidth = 1, dash, opacity = 1 } = {}) => parts.push(
        `<polyline points="${points.map((p) => p.join(",")).join(" ")}" fill="none" stroke="${stroke}" `
        + `stroke-width="${lineWidth}" stroke-opacity="${opacity}"`
        + (dash ? ` stroke-dasharray="${dash.join(" ")}"/>` : "/>")),
      path: (d, { fill, stroke, lineWidth = 1, opacity = 1 } = {}) => parts.push(
        `<path d="${d}" ${paint(fill)} stroke="${stroke || "none"}" stroke-width="${lineWidth}" opacity="${opacity}"/>`),
      text: (x, y, text, { fill, size = 13, anchor = "start", family = "monospace", rotate = 0 } = {}) => parts.push(
        `<text x="${x}" y="${y}" fill="${fill}" font-size="${size}" text-anchor="${anchor}" xml:space="preserve" `
        + (rotate ? `transform="rotate(${rotate} ${x} ${y})" ` : "")
        + `font-family="${escape(family)}">${escape(text)}</text>`),
      image: (source, x, y, w, h) => parts.push(
        `<image x="${x}" y="${y}" width="${w}" height="${h}" image-rendering="pixelated" href="${source.toDataURL()}"/>`),
      toString: () => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" `
        + `height="${height}">${parts.join("")}</svg>`,
      save(name) { saveText(this.toString(), name, "image/svg+xml"); },
    };
  }

  return { mount, unpack, colours, rgb, mix, scale, sequential, diverging, canvas, matrix, tooltip, chipText, chip, number,
    reducedMotion, animate, keys, button, savePng, saveText, svg };
})();
