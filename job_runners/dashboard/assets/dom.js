// Makes and updates elements. Text always becomes a text node: no code of this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

// Updates keep these attributes as the user left them.
const THEIRS = new Set(["open", "value", "checked"]);

/** Make an element with a tag ("svg:rect" for SVG), attributes and children. */
export function h(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS(SVG, tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(isShown).map(asNode));
  return element;
}

/** Give `element` these children. Equal children are kept, so that focus, selection, scrolling and open details
 * stay. Children with a data-key are matched by it, others by their order. */
export function fill(element, ...children) {
  const wanted = children.flat(Infinity).filter(isShown).map(asNode);
  const keyed = new Map();
  for (const child of element.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let place = element.firstChild;
  for (const next of wanted) {
    const key = next.dataset?.key;
    const old = key ? keyed.get(key) : place;
    if (old && alike(old, next)) {
      if (old === place) place = place.nextSibling;
      else element.insertBefore(old, place);
      update(old, next);
    } else {
      element.insertBefore(next, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

function alike(old, next) {
  return old.nodeName === next.nodeName && old.dataset?.key === next.dataset?.key;
}

function update(old, next) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  const theirs = (name) => THEIRS.has(name) && old.nodeName !== "PROGRESS";
  // oxlint-disable-next-line unicorn/no-useless-spread -- a copy: each removal shortens the list
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !theirs(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !theirs(name)) old.setAttribute(name, value);
  }
  fill(old, [...next.childNodes]);
}
