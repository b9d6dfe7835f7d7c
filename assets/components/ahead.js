/* ahead: pictures one step away, drawn as soon as a box of the page asks for them. In front of common.js, which mounts.

   A message of charts/ahead.py holds, beside the picture, those that Streamlit's boxes next to it would show one step on.
   After each key and click this reads what the boxes show, and where they show a neighbour draws it at once: the server's
   answer, some round trips later, finds it drawn. What a box shows otherwise waits for the server, as without this file.

   ahead.parsed(data)      ->  a message's header with .bytes and .start, where its arrays begin; of one parsed: itself
   ahead.open(data)        ->  {sent, asked()}: the message parsed, and that of the picture which the boxes ask for, undefined
                               where it is not here; asked is null where a message came alone
   ahead.follow(place, pictures, draw), ahead.forget(place)      draw(data) whenever the boxes ask for another of them */
const ahead = (() => {
  const PATIENCE = 30;   // frames in which a box may come to show what was chosen
  const places = new Map();   // a mounted component -> its pictures and how to draw one
  let frames = 0, chosen = false;

  function parsed(data) {
    if (!(data instanceof Uint8Array)) return data;
    const bytes = data.byteOffset % 8 === 0 ? data : new Uint8Array(data);
    const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    return { ...header, bytes, start: bytes.byteOffset + 4 + length };
  }

  function open(data) {
    const sent = parsed(data), near = sent?.ahead;
    if (!near) return { sent, asked: null };
    const pictures = [{ at: near.at, message: sent }, ...near.others.map(({ at, gone, header }) => {
      const other = { ...sent, ...header };
      for (const key of gone) delete other[key];
      return { at, message: other };
    })];
    const matches = (shown) => ({ at }) => at.every((value, i) => same(value, shown[i]));
    return { sent, asked: () => pictures.find(matches(near.boxes.map(read)))?.message };
  }

  function read(key) {   // what the box shows; null while a name is being typed into it
    const box = document.querySelector(`.st-key-${CSS.escape(key)} input`);
    if (!box || (box.getAttribute("aria-expanded") === "true" && !chosen)) return null;
    return box.type === "checkbox" ? (box.checked ? "True" : "False") : box.getAttribute("aria-valuetext") ?? box.value;
  }

  const same = (value, shown) => value === shown || (Boolean(value && shown) && Number(value) === Number(shown));

  function follow(place, { sent, asked }, draw) {
    places.delete(place);
    if (asked) places.set(place, { asked, draw, drawn: asked() ?? sent });
  }

  function look() {
    for (const place of places.values()) {
      const asked = place.asked() ?? place.drawn;
      if (asked === place.drawn) continue;
      place.drawn = asked;
      place.draw(asked);
    }
  }

  function watch() {
    look();
    if (frames-- > 0) requestAnimationFrame(watch);
  }

  function pressed(event) {
    if (!places.size) return;
    chosen = event.type === "click" || event.key === "Enter";
    const idle = frames <= 0;
    frames = PATIENCE;
    setTimeout(look);   // the box may show it before the next frame
    if (idle) requestAnimationFrame(watch);
  }
  for (const type of ["keydown", "click", "input"]) document.addEventListener(type, pressed, true);

  return { parsed, open, follow, forget: (place) => places.delete(place) };
})();
