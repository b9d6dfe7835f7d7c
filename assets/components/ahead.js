/* ahead: pictures one step away, drawn as soon as a box of the page asks for them. In front of common.js, which mounts.

   A message of charts/ahead.py holds, beside the picture, those that Streamlit's boxes next to it would show one step on.
   After each key and click this reads what the boxes show, and where they show a neighbour draws it at once: the server's
   answer, some round trips later, finds it drawn. What a box shows otherwise waits for the server, as without this file.

   ahead.parsed(data)      ->  a message's header, with its bytes and where its arrays begin in [ahead.BODY]; of one parsed: itself
   ahead.arrive(place, data, draw)   ->  the message to draw now: the one sent, or where the boxes are further by now, theirs;
                               later draw(message) whenever they ask for another one that is here
   ahead.ask(place, box, value)      what a box inside the picture was moved to, of which the page has none
   ahead.forget(place) */
const ahead = (() => {
  const BODY = Symbol("body");   // no name that a header could have itself
  const PATIENCE = 30;   // frames in which a box may come to show what was chosen
  const places = new Map();   // where a component is mounted -> what is here for it
  let frames = 0, chosen = false;

  function parsed(data) {
    if (!(data instanceof Uint8Array)) return data;
    const bytes = data.byteOffset % 8 === 0 ? data : new Uint8Array(data);
    const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    return { ...header, [BODY]: { bytes, start: bytes.byteOffset + 4 + length } };
  }

  function arrive(place, data, draw) {
    const sent = parsed(data), near = sent?.ahead, before = places.get(place)?.own ?? {};
    places.delete(place);
    if (!near) return sent;
    const pictures = [{ at: near.at, message: sent }, ...near.others.map(({ at, gone, header }) => {
      const other = { ...sent, ...header };
      for (const key of gone) delete other[key];
      return { at, message: other };
    })];
    const answered = near.boxes.every((key, i) => !(key in before) || same(near.at[i], before[key]));
    const here = { boxes: near.boxes, pictures, draw, own: answered ? {} : before };
    here.drawn = asked(here) ?? sent;
    places.set(place, here);
    return here.drawn;
  }

  function asked({ boxes, pictures, own }) {
    const shown = boxes.map((key) => own[key] ?? read(key));
    return pictures.find(({ at }) => at.every((value, i) => same(value, shown[i])))?.message;
  }

  function read(key) {   // what the box shows; null while a name is being typed into it
    const name = key.replace(/[^\w-]/g, "-");   // as Streamlit makes a class of it
    const box = document.querySelector(`.st-key-${name} :is(input:not([type=radio]), input:checked)`);
    if (!box || (box.getAttribute("aria-expanded") === "true" && !chosen)) return null;
    if (box.type === "radio") return box.closest("label").textContent.trim();
    return box.type === "checkbox" ? (box.checked ? "True" : "False") : box.getAttribute("aria-valuetext") ?? box.value;
  }

  const same = (value, shown) => value === shown || (Boolean(value && shown) && Number(value) === Number(shown));

  function ask(place, box, value) {
    const here = places.get(place);
    if (!here) return;
    here.own = { ...here.own, [box]: String(value) };
    look();
  }

  function look() {
    for (const here of places.values()) {
      const now = asked(here) ?? here.drawn;
      if (now === here.drawn) continue;
      here.drawn = now;
      here.draw(now);
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

  return { BODY, parsed, arrive, ask, forget: (place) => places.delete(place) };
})();
