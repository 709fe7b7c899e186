// A line plot of a few series on a canvas. Times are on the x axis, the newest at the right.

const colours = ['--chart-1', '--chart-2', '--chart-3', '--chart-4'];

/** Draws `series` = [{name, values}]; a value that is null leaves a gap. */
export function plot(canvas, series) {
  const style = getComputedStyle(document.documentElement);
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0 || height === 0) return;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const draw = canvas.getContext('2d');
  draw.scale(scale, scale);
  const most = Math.max(1e-9, ...series.flatMap((line) => line.values.filter((value) => value !== null)));
  const top = 14;
  const y = (value) => height - 2 - (value / most) * (height - top - 4);
  draw.strokeStyle = style.getPropertyValue('--line');
  draw.fillStyle = style.getPropertyValue('--faint');
  draw.font = '11px system-ui, sans-serif';
  for (const share of [0, 0.5, 1]) {
    const line = Math.round(y(most * share)) + 0.5;
    draw.beginPath();
    draw.moveTo(0, line);
    draw.lineTo(width, line);
    draw.stroke();
    if (share > 0) draw.fillText(shortNumber(most * share), 2, line - 3);
  }
  series.forEach((line, n) => {
    const count = Math.max(line.values.length - 1, 1);
    draw.strokeStyle = style.getPropertyValue(colours[n % colours.length]);
    draw.lineWidth = 1.5;
    draw.beginPath();
    let isDown = false;
    line.values.forEach((value, place) => {
      if (value === null) {
        isDown = false;
        return;
      }
      const x = (place / count) * width;
      if (isDown) draw.lineTo(x, y(value));
      else draw.moveTo(x, y(value));
      isDown = true;
    });
    draw.stroke();
  });
}

/** 999, 1.2k, 34k, 5.6M. */
export function shortNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '-';
  const units = ['', 'k', 'M', 'G'];
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit + 1 < units.length) {
    rest /= 1000;
    unit += 1;
  }
  const digits = rest < 10 && (unit > 0 || !Number.isInteger(rest)) ? 1 : 0;
  return rest.toFixed(digits) + units[unit];
}

/** Milliseconds as 250us, 1.2ms, 3.4s, 12m. */
export function shortTime(ms) {
  if (ms === null || ms === undefined) return '-';
  const steps = [[1, 1000, 'us'], [1000, 1, 'ms'], [120000, 1 / 1000, 's'], [7200000, 1 / 60000, 'm'],
    [172800000, 1 / 3600000, 'h'], [Infinity, 1 / 86400000, 'd']];
  const [, factor, unit] = steps.find(([end]) => ms < end);
  const value = ms * factor;
  return value.toFixed(value < 9.95 && unit !== 'us' ? 1 : 0) + unit;
}
