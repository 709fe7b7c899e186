// Makes elements of the page. Text becomes a text node and never HTML, wherever it comes from.

export function element(name, attributes = {}, ...children) { return filled(document.createElement(name), attributes, children); }
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

/** `columns` = [[heading, isNumber]]; a row = {cells, isBad}; a cell is text or a Node. */
export function table(caption, columns, rows, none) {
  if (rows.length === 0) return element('p', {}, none);
  const head = element('tr', {}, ...columns.map(([name, isNumber]) =>
    element('th', { scope: 'col', class: isNumber ? 'n' : null }, name)));
  const body = rows.map(({ cells, isBad }) => element('tr', { class: isBad ? 'bad' : null },
    ...cells.map((cell, n) => element('td', { class: columns[n][1] ? 'n' : 'text' }, cell))));
  return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    element('table', {}, element('thead', {}, head), element('tbody', {}, ...body)));
}

export function link(hash, text) { return element('a', { href: `#${hash}` }, text); }
export function jobLink(id) { return link(`job/${id}`, id); }
export function card(name, value) { return element('div', { class: 'card' }, element('b', {}, value), element('span', {}, name)); }
