// Elements made from values. Text is only ever text: nothing here, and nothing in the page, reads a string as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes by name, `on...` listeners as functions, then children (elements, texts, lists, null). */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an element of an SVG drawing. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what an element holds. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined));
  return element;
}

/** Tell those who listen, not look. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

let arrived = false;

/** Lead the reader's focus to a view that was just asked for; the first one after loading begins at the page's top. */
export function arrive(title) {
  if (arrived) title.focus();
  arrived = true;
}

/** A control of several choices, of which one is pressed. */
export function choice(label, options, chosen, onChoose) {
  return h(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    options.map(([value, text]) =>
      h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => onChoose(value) }, text),
    ),
  );
}

/** A problem in words, which is also said. */
export function alarm(text) {
  return h("p", { class: "alarm", role: "alert" }, text);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined).map(asNode));
  return element;
}

function asNode(one) {
  return one instanceof Node ? one : document.createTextNode(String(one));
}
