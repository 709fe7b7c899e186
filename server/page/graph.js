// The jobs that are linked with one, as a picture: its parents on the left, its children on the right.
import { drawn, element } from './elements.js';

const boxWidth = 168;
const boxHeight = 44;
/** Of one side. */
export const mostBoxes = 6;

function box(one, column, row, isSelf) {
  const x = column * (boxWidth + 60) + 1;
  const y = row * (boxHeight + 10) + 1;
  const inside = [drawn('rect', { x, y, width: boxWidth, height: boxHeight, rx: 6, class: isSelf ? 'self' : null }),
    drawn('text', { x: x + 10, y: y + 18 }, one.id),
    drawn('text', { x: x + 10, y: y + 35, class: one.state === 'dead' ? 'bad' : 'faint' },
      [one.state ?? 'unknown', one.kind ?? ''].filter((part) => part !== '').join(', ').slice(0, 26))];
  return isSelf ? drawn('g', {}, ...inside)
    : drawn('a', { href: `#job/${one.id}` }, ...inside);
}

/** Parents on the left, the job, children on the right; `more` says how many others a side has. */
export function graph(self, parents, children, more) {
  const sides = [[parents, 0, more.parents], [children, 2, more.children]];
  const rows = Math.max(1, ...sides.map(([ones, , others]) => Math.min(ones.length, mostBoxes) + (others === '' ? 0 : 1)));
  const middle = (rows - 1) / 2;
  const line = (column, from, to) => {
    const x = (column + 1) * (boxWidth + 60) - 58;
    const height = (row) => row * (boxHeight + 10) + boxHeight / 2 + 1;
    return drawn('path', { d: `M${x} ${height(from)}C${x + 28} ${height(from)} ${x + 28} ${height(to)} ${x + 56} ${height(to)}` });
  };
  const parts = [];
  for (const [ones, column, others] of sides) {
    const some = ones.slice(0, mostBoxes);
    const first = middle - (some.length - 1) / 2;
    some.forEach((one, n) => {
      parts.push(column === 0 ? line(0, first + n, middle) : line(1, middle, first + n), box(one, column, first + n, false));
    });
    if (others !== '') {
      parts.push(drawn('text', { x: column * (boxWidth + 60) + 10, y: (first + some.length) * (boxHeight + 10) + 22, class: 'faint' },
        others));
    }
  }
  const width = 3 * boxWidth + 122;
  const height = rows * (boxHeight + 10) + 14;
  return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Linked jobs' },
    drawn('svg', { class: 'graph', viewBox: `0 0 ${width} ${height}`, width, height, role: 'group',
      'aria-label': `${parents.length} parents, ${children.length} children` }, ...parts, box(self, 1, middle, true)));
}
