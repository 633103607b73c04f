/**
 * An element with attributes and children. A null or false attribute is left out, a
 * function is a listener.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | number | null)} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);

  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      made.addEventListener(name, value);
    } else if (value !== null && value !== false && value !== undefined) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }

  made.append(...children.filter((child) => child !== null).map(nodeOf));
  return made;
}

/**
 * The element of this page with that id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

function nodeOf(child) {
  return child instanceof Node ? child : String(child);
}
