// The glossary's LaTeX as MathML, which every browser draws and screen readers read. Only what the glossary uses.
const MATH = "http://www.w3.org/1998/Math/MathML";
const SIGNS = { top: "⊤", odot: "⊙", dots: "…", infty: "∞", le: "≤", gt: ">", ";": " ", ",": " ", cdot: "·" };
const GREEK = { Delta: "Δ", sigma: "σ", ell: "ℓ", mu: "μ", gamma: "γ", beta: "β", epsilon: "ε" };
const ROLE_OF = { Q: "query", K: "key", V: "value", z: "value", S: "scores", A: "attention", a: "ffn", u: "ffn", g: "ffn",
  ℓ: "output", p: "output" };

function mathml(latex) {
  const tokens = latex.match(/\\(?:text|operatorname)\{[^}]*\}|\\[a-zA-Z]+|\\.|[{}^_]|'+|\d+(?:\.\d+)?|\S/g) || [];
  let at = 0;
  const node = (name, ...children) => {
    const element = document.createElementNS(MATH, name);
    element.append(...children);
    return element;
  };
  const group = () => {   // {...} or one atom
    if (tokens[at] !== "{") return atom();
    at++;
    const inside = row("}");
    at++;
    return inside;
  };
  const letter = (text) => {
    const element = node("mi", text);
    if (ROLE_OF[text]) element.setAttribute("class", `role-${ROLE_OF[text]}`);
    return element;
  };
  const named = (name, text, attribute, value) => {
    const element = node(name, text);
    element.setAttribute(attribute, value);
    return element;
  };
  const atom = () => {
    const t = tokens[at++], name = t.slice(1), braces = t.match(/^\\(text|operatorname)\{(.*)\}$/);
    if (braces) return braces[1] === "text" ? node("mtext", braces[2].replace(/ /g, " ")) : named("mi", braces[2], "mathvariant", "normal");
    if (t === "\\hat") {
      const hat = node("mover", group(), node("mo", "^"));
      hat.setAttribute("accent", "true");
      return hat;
    }
    if (t === "\\sqrt") return node("msqrt", group());
    if (GREEK[name] && t[0] === "\\") return letter(GREEK[name]);
    if (t[0] === "\\") return node("mo", SIGNS[name] ?? name);
    if (/\d/.test(t)) return node("mn", t);
    if (/[a-zA-Z]/.test(t)) return letter(t);
    return /[()[\]]/.test(t) ? named("mo", t, "stretchy", "false") : node("mo", t === "-" ? "−" : t);
  };
  const row = (stop) => {
    const out = node("mrow");
    while (at < tokens.length && tokens[at] !== stop) {
      const base = tokens[at] === "{" ? group() : atom();
      let low = null, high = null;
      while (["^", "_"].includes(tokens[at]) || /^'+$/.test(tokens[at] || "")) {
        const t = tokens[at++];
        if (t === "_") low = group();
        else if (t === "^") high = group();
        else high = node("mo", t.length === 2 ? "″" : "′");
      }
      if (low && high) out.append(node("msubsup", base, low, high));
      else if (low) out.append(node("msub", base, low));
      else if (high) out.append(node("msup", base, high));
      else out.append(base);
    }
    return out;
  };
  return node("math", row(null));
}
