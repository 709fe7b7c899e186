// The page of `ringmill serve`. All that comes from jobs (names, payloads, errors) is foreign text: it is put in place
// by textContent alone, never parsed as HTML.
import { card, element, jobLink, link, table } from './elements.js';
import { graph, mostBoxes } from './graph.js';
import { plot, shortNumber, shortTime } from './plot.js';

const views = [['overview', 'Overview'], ['levels', 'Levels'], ['kinds', 'Kinds'], ['jobs', 'Jobs'],
  ['workers', 'Workers'], ['schedules', 'Schedules'], ['dead', 'Dead letters'], ['health', 'Health']];
const mostPoints = 600;
const state = { look: null, points: [], server: { allows_actions: false }, view: '', timer: 0 };

// --- asking the server

// The token comes once, behind the '#' of the address, and stays in this tab.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given !== null) {
    sessionStorage.setItem('ringmill-token', given);
    history.replaceState(null, '', '#overview');
  }
  return sessionStorage.getItem('ringmill-token') ?? '';
}
const token = takeToken();

function headers(more) {
  return token === '' ? more : { ...more, Authorization: `Bearer ${token}` };
}

async function ask(path, body) {
  const answer = await fetch(path, body === undefined
    ? { headers: headers({}) }
    : { method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body) });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.error ?? `the server says ${answer.status}`);
  return json;
}

function query(parameters) {
  const text = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return text === '' ? '' : `?${text}`;
}

/** Reads server-sent events by fetch(): EventSource could not send the token. */
async function listen(take) {
  const answer = await fetch('api/v1/events', { headers: headers({}) });
  if (!answer.ok) {
    const json = await answer.json().catch(() => ({}));
    throw new Error(json.error ?? `the server says ${answer.status}`);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split('\n\n');
    text = events.pop();
    for (const event of events) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (name !== undefined && data !== undefined) take(name, JSON.parse(data));
    }
  }
}

// --- what is shown

function show(...children) {
  const main = document.getElementById('main');
  main.replaceChildren(...children);
}

function message(text, isBad = false) {
  const line = document.getElementById('message');
  if (line === null) return;
  line.textContent = text;
  line.className = isBad ? 'message bad' : 'message';
}
function messageLine() { return element('p', { id: 'message', class: 'message', role: 'status', 'aria-live': 'polite' }); }

/** Resolves to whether the user says yes. */
function confirmed(text, verb) {
  const dialog = document.getElementById('ask');
  document.getElementById('ask-text').textContent = text;
  const yes = document.getElementById('ask-yes');
  const no = document.getElementById('ask-no');
  yes.textContent = verb;
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    const end = (answer) => { dialog.close(); yes.onclick = no.onclick = dialog.oncancel = null; resolve(answer); };
    yes.onclick = () => end(true);
    no.onclick = () => end(false);
    dialog.oncancel = () => end(false);
  });
}

/** A button that acts on the engine. Where actions are not allowed it is disabled, and the server refuses them. */
function actionButton(text, act, isDangerous = false) {
  const allows = state.server.allows_actions;
  return element('button', {
    type: 'button',
    class: isDangerous ? 'danger' : null,
    disabled: !allows,
    title: allows ? null : 'ringmill serve was started without --allow-actions',
    onclick: async () => {
      try { await act(); } catch (error) { message(error.message, true); }
    },
  }, text);
}

// --- views that follow the looks

function seriesOf(place, of) {
  const names = [...new Set(state.points.flatMap((point) => Object.keys(point[of])))].slice(0, 4);
  return names.map((name) => ({ name, values: state.points.map((point) => point[of][name]?.[place] ?? null) }));
}
function sumOf(place) {
  return state.points.map((point) => Object.values(point.levels).reduce((sum, level) => sum + level[place], 0));
}

function figure(title, series, unit) {
  const colours = ['--chart-1', '--chart-2', '--chart-3', '--chart-4'];
  const legend = series.map((line, n) => {
    const last = line.values.findLast((value) => value !== null);
    const swatch = element('span', { 'aria-hidden': 'true' }, '■ ');
    swatch.style.color = `var(${colours[n]})`;
    return element('span', {}, swatch, `${line.name} ${unit === 'ms' ? shortTime(last) : shortNumber(last)}`);
  });
  const canvas = element('canvas', { role: 'img', 'aria-label': `${title}, the last ten minutes` });
  canvas.series = series;
  return element('figure', {}, element('figcaption', {}, element('b', {}, title), ...legend), canvas);
}
function drawPlots() { for (const canvas of document.querySelectorAll('canvas')) plot(canvas, canvas.series); }

function overview(look) {
  const sum = (key) => look.levels.reduce((total, level) => total + (level[key] ?? 0), 0);
  const oldest = Math.max(...look.levels.map((level) => level.oldest_ms ?? -1));
  const workers = look.participants.filter((one) => one.role === 'worker' && one.alive);
  return [
    element('div', { class: 'cards' },
      card('waiting', shortNumber(sum('depth'))), card('running', shortNumber(sum('running'))),
      card('in per second', shortNumber(sum('in_per_s'))), card('out per second', shortNumber(sum('out_per_s'))),
      card('failed per second', shortNumber(sum('failed_per_s'))), card('oldest waits', shortTime(oldest < 0 ? null : oldest)),
      card('workers, busy', `${workers.length}, ${workers.filter((one) => one.running.length > 0).length}`),
      card('dead letters', look.dead_letters === null ? 'unreadable' : shortNumber(look.dead_letters.count))),
    element('div', { class: 'plots' },
      figure('Jobs per second', [{ name: 'in', values: sumOf(1) }, { name: 'out', values: sumOf(2) },
        { name: 'failed', values: sumOf(3) }], ''),
      figure('Waiting jobs', seriesOf(0, 'levels'), ''),
      figure('Wait, p99', seriesOf(5, 'levels'), 'ms'),
      figure('Run, p99', seriesOf(2, 'kinds'), 'ms')),
  ];
}

function pauseButton(what, name, isPaused) {
  return actionButton(isPaused ? 'Resume' : 'Pause', async () => {
    await ask(`api/v1/${what}/${encodeURIComponent(name)}/${isPaused ? 'resume' : 'pause'}`, {});
    message(`${name} ${isPaused ? 'goes on' : 'is paused'}`);
  });
}

function levels(look) {
  return [table('Levels', [['Level'], ['Waiting', true], ['Running', true], ['Oldest', true], ['In/s', true],
    ['Out/s', true], ['Failed/s', true], ['Wait p50', true], ['Wait p99', true], ['Completed', true], ['']],
  look.levels.map((level) => ({
    isBad: level.paused,
    cells: [link(`jobs?level=${encodeURIComponent(level.name)}`, level.name),
      (level.depth_is_estimate ? '~' : '') + shortNumber(level.depth), level.running,
      level.paused ? `paused since ${level.paused_since}` : shortTime(level.oldest_ms), shortNumber(level.in_per_s),
      shortNumber(level.out_per_s), shortNumber(level.failed_per_s), shortTime(level.wait_p50_ms),
      shortTime(level.wait_p99_ms), level.totals.completed, pauseButton('levels', level.name, level.paused)],
  })), 'no levels')];
}

function kinds(look) {
  return [table('Kinds', [['Kind'], ['Running', true], ['Started/s', true], ['Completed/s', true], ['Failed/s', true],
    ['Run p50', true], ['Run p99', true], ['Completed', true], ['Failed', true], ['Retried', true], ['Dead', true], ['']],
  look.kinds.map((kind) => ({
    cells: [link(`jobs?kind=${encodeURIComponent(kind.name)}`, kind.name), kind.running, shortNumber(kind.started_per_s),
      shortNumber(kind.completed_per_s), shortNumber(kind.failed_per_s), shortTime(kind.run_p50_ms),
      shortTime(kind.run_p99_ms), kind.completed, kind.failed, kind.retried, kind.dead,
      element('span', { class: 'buttons' }, pauseButton('kinds', kind.name, false), pauseButton('kinds', kind.name, true))],
  })), 'no kind had a job')];
}

function workers(look) {
  return [table('Participants', [['Id', true], ['Process', true], ['Role'], ['Busy', true], ['Completed/s', true],
    ['Completed', true], ['Failed', true], ['Since'], ['Runs']],
  look.participants.map((one) => ({
    isBad: !one.alive,
    cells: [one.id, one.pid, one.alive ? one.role : `${one.role}, gone`, `${Math.round(one.busy * 100)} %`,
      shortNumber(one.completed_per_s), one.completed, one.failed, one.since,
      element('span', {}, ...one.running.slice(0, 3).flatMap((job) =>
        [jobLink(job.id), ` ${job.kind} for ${shortTime(job.running_ms)} `]),
      one.running.length > 3 ? `and ${one.running.length - 3} more` : '')],
  })), 'no participants')];
}

function pairs(object) {
  return element('dl', {}, ...Object.entries(object).flatMap(([key, value]) =>
    [element('dt', {}, key.replaceAll('_', ' ')), element('dd', {}, value === null ? '-' : value)]));
}

function health(look) {
  return [element('h2', {}, 'Keeper'), pairs(look.keeper), element('h2', {}, 'Journal'), pairs(look.journal),
    element('h2', {}, 'Engine'), pairs(look.engine), element('h2', {}, 'Totals'), pairs(look.totals)];
}

const liveViews = { overview, levels, kinds, workers, health };

// --- views that ask

async function jobs(parameters) {
  const field = (name, label, options) => element('label', {}, label, options === undefined
    ? element('input', { name, value: parameters[name] ?? '', size: 14 })
    : element('select', { name }, ...options.map((value) =>
      element('option', { value, selected: (parameters[name] ?? '') === value }, value === '' ? 'any' : value))));
  const form = element('form', {
    onsubmit: (event) => {
      event.preventDefault();
      const given = Object.fromEntries(new FormData(form));
      const id = given.id.trim();
      location.hash = id === '' ? `jobs${query({ state: given.state, level: given.level, kind: given.kind, tag: given.tag })}` : `job/${id}`;
    },
  }, field('state', 'State', ['', 'queued', 'delayed', 'blocked', 'running', 'completed', 'cancelled', 'dead']),
  field('level', 'Level'), field('kind', 'Kind'), field('tag', 'Tag'), field('id', 'Id'), element('button', {}, 'Show'));
  const list = element('div');
  const more = element('button', { type: 'button' }, 'More');
  const rows = [];
  let cursor = '';
  // A page may look at many cells and find few jobs: it goes on until there is something to show.
  async function next() {
    more.disabled = true;
    const before = rows.length;
    let page = null;
    do {
      page = await ask(`api/v1/jobs${query({ ...parameters, cursor })}`);
      rows.push(...page.jobs);
      cursor = page.next ?? '';
      message(`${rows.length} jobs${cursor === '' ? '' : ', and there may be more'}`);
    } while (rows.length < before + 20 && cursor !== '' && state.view.startsWith('jobs'));
    list.replaceChildren(table('Jobs', [['Id'], ['State'], ['Level'], ['Kind'], ['Tag'], ['Attempts', true], ['Enqueued at'], ['Last error']],
      rows.map((job) => ({
        isBad: job.state === 'dead',
        cells: [jobLink(job.id), job.state, job.level, job.kind, tagOf(job), job.attempts, job.enqueued_at ?? '-', job.last_error ?? ''],
      })), 'no jobs'));
    more.disabled = false;
    more.hidden = cursor === '';
  }
  more.addEventListener('click', () => next().catch((error) => message(error.message, true)));
  show(form, messageLine(), list, more);
  await next();
}

function tagOf(job) {
  return job.tag ?? (job.tag_base64 === undefined ? '' : '(no text)');
}

function payloadOf(job) {
  const text = job.payload ?? null;
  const base64 = job.payload_base64 ?? null;
  if (text === null && base64 === null) return element('p', {}, 'none is kept');
  const block = element('pre', { tabindex: '0', 'aria-label': 'payload' });
  const bytes = () => (base64 === null ? new TextEncoder().encode(text) : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  const hex = () => [...bytes()].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const asJson = () => {
    try {
      JSON.parse(text);  // only to know that it is JSON: what is shown is laid out, and its numbers stay as they are
      return layOut(text);
    } catch { return null; }
  };
  const views = { Text: () => text ?? '(no text: see hex)', JSON: () => asJson() ?? '(no JSON)', Hex: hex };
  const buttons = Object.entries(views).map(([name, make]) =>
    element('button', { type: 'button', onclick: () => { block.textContent = make(); } }, name));
  block.textContent = text ?? hex();
  return element('div', {}, element('div', { class: 'buttons' }, ...buttons,
    job.payload_cut ? link(`job/${job.id}?payload=whole`, 'show all of it') : null), block);
}

/** Lays JSON text out by its brackets, without reading numbers: 23 digits stay 23 digits. */
function layOut(text) {
  let out = '';
  let depth = 0;
  for (const part of text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []) {
    if (part === '{' || part === '[') out += part + '\n' + '  '.repeat(++depth);
    else if (part === '}' || part === ']') out += '\n' + '  '.repeat(--depth) + part;
    else if (part === ',') out += ',\n' + '  '.repeat(depth);
    else if (part === ':') out += ': ';
    else out += part;
  }
  return out;
}

// --- one job

/** Fills `place` with the graph, as soon as the table was looked through for children, a piece at a time. */
async function showLinks(place, found) {
  const parents = found.parent_jobs ?? [];
  const view = state.view;
  const children = [];
  let cursor = '';
  do {
    const page = await ask(`api/v1/jobs/${found.id}/children${query({ cursor, limit: '500' })}`);
    children.push(...page.jobs);
    cursor = page.next ?? '';
    if (state.view !== view) return;
  } while (cursor !== '' && children.length < 500);
  if (parents.length + children.length === 0) return;
  const parentCount = found.parent_count ?? parents.length;
  const beyond = (count, isOpen) => (count > mostBoxes || isOpen ? `and ${count - mostBoxes}${isOpen ? ' or more' : ''} others` : '');
  place.replaceChildren(element('h2', {}, 'Linked jobs'),
    element('p', {}, 'It waits for the jobs on the left; those on the right wait for it.'),
    graph(found, parents, children, { parents: beyond(parentCount, false), children: beyond(children.length, cursor !== '') }),
    table('All linked jobs', [['Id'], ['Is its'], ['State'], ['Kind']],
      [...parents.map((one) => [one, 'parent']), ...children.map((one) => [one, 'child'])].map(([one, is]) => ({
        isBad: one.state === 'dead', cells: [jobLink(one.id), is, one.state ?? 'unknown', one.kind ?? ''],
      })), ''));
}

async function job(id, parameters) {
  const found = await ask(`api/v1/jobs/${encodeURIComponent(id)}${query(parameters)}`);
  const { explanation, payload, payload_base64: base64, payload_cut: cut, parent_jobs: parents, last_error: error,
    result, parents: ids, progress, ...facts } = found;
  const links = element('div');
  const again = () => job(id, parameters);
  const actions = found.state === 'dead'
    ? [actionButton('Retry', async () => {
      const done = await ask('api/v1/dead/retry', { id });
      message('');
      if (done.jobs.length === 1) location.hash = `job/${done.jobs[0].retried_as}`;
      else message('it was not retried', true);
    }), actionButton('Purge', async () => {
      if (!await confirmed(`Remove the dead letter of job ${id}? Nothing of it is kept.`, 'Purge')) return;
      await ask('api/v1/dead/purge', { id });
      location.hash = 'dead';
    }, true)]
    : ['queued', 'delayed', 'blocked', 'running'].includes(found.state)
      ? [actionButton('Cancel', async () => {
        if (!await confirmed(`Cancel job ${id}?`, 'Cancel the job')) return;
        const done = await ask(`api/v1/jobs/${id}/cancel`, {});
        await again();
        message(done.outcome.replaceAll('_', ' '));
      }, true)] : [];
  show(element('h2', {}, `Job ${id}`), element('p', { id: 'explanation' }, `It ${explanation}.`),
    element('div', { class: 'buttons' }, ...actions,
      element('button', { type: 'button', onclick: () => again().catch((e) => message(e.message, true)) }, 'Look again')),
    messageLine(), pairs(facts),
    ...(error ? [element('h2', {}, 'Last error'), element('pre', { id: 'error', tabindex: '0' }, error)] : []),
    links, element('h2', {}, 'Payload'), payloadOf(found),
    ...(result ? [element('h2', {}, 'Result'), element('pre', { tabindex: '0' }, result)] : []));
  await showLinks(links, found).catch((error) => message(error.message, true));
}

async function schedules() {
  const rows = [];
  let after = '';
  do {
    const page = await ask(`api/v1/schedules${query({ after, limit: '500' })}`);
    rows.push(...page.schedules);
    after = page.next ?? '';
  } while (after !== '');
  const button = (one) => actionButton(one.paused ? 'Resume' : 'Pause', async () => {
    await ask(`api/v1/schedules/${encodeURIComponent(one.name)}/${one.paused ? 'resume' : 'pause'}`, {});
    await schedules();
    message(`${one.name} ${one.paused ? 'goes on' : 'is paused'}`);
  });
  show(element('div', { class: 'buttons' }, element('button', {
    type: 'button', onclick: () => schedules().catch((error) => message(error.message, true)),
  }, 'Look again')), messageLine(),
  table('Schedules', [['Schedule'], ['Times'], ['Kind'], ['Level'], ['Missed ticks'], ['Last tick'], ['Next tick'], ['Trouble'], ['']],
    rows.map((one) => ({
      isBad: one.trouble !== null,
      cells: [one.name, one.times, link(`jobs?kind=${encodeURIComponent(one.kind)}`, one.kind), one.level, one.missed,
        one.last_tick ?? '-', one.paused ? 'paused' : one.next_tick ?? '-', one.trouble ?? '', button(one)],
    })), 'no schedules'));
}

async function dead(parameters) {
  const found = await ask(`api/v1/dead${query({ ...parameters, limit: '200' })}`);
  const causes = ['', 'failed', 'rejected', 'worker_lost', 'lease_expired', 'timeout', 'expired', 'parent_dead'];
  const form = element('form', {
    onsubmit: (event) => {
      event.preventDefault();
      location.hash = `dead${query(Object.fromEntries(new FormData(form)))}`;
    },
  }, element('label', {}, 'Kind', element('input', { name: 'kind', value: parameters.kind ?? '', size: 14 })),
  element('label', {}, 'Level', element('input', { name: 'level', value: parameters.level ?? '', size: 14 })),
  element('label', {}, 'Tag', element('input', { name: 'tag', value: parameters.tag ?? '', size: 14 })),
  element('label', {}, 'Cause', element('select', { name: 'cause' }, ...causes.map((value) =>
    element('option', { value, selected: (parameters.cause ?? '') === value }, value === '' ? 'any' : value)))),
  element('button', {}, 'Show'));
  const boxes = new Map();
  const chosen = () => [...boxes].filter(([, box]) => box.checked).map(([id]) => id);
  const filter = Object.fromEntries(Object.entries(parameters).filter(([, value]) => value));
  const whole = Object.keys(filter).length === 0 ? { all: true } : filter;
  // In slices: each answer says how many it was, and whether there are more.
  async function each(action, done, choices) {
    let count = 0;
    for (const choice of choices) {
      let answer = null;
      do {
        answer = await ask(`api/v1/dead/${action}`, choice);
        count += answer[done];
        message(`${count} ${done}`);
      } while (answer.more);
    }
    await dead(parameters);
    message(`${count} ${done}`);
  }
  const rows = found.letters.map((letter) => {
    const box = element('input', { type: 'checkbox', 'aria-label': `choose ${letter.id}` });
    boxes.set(letter.id, box);
    return { cells: [box, jobLink(letter.id), letter.kind, letter.level, letter.cause, letter.attempts,
      letter.ended_at ?? '-', letter.last_error ?? ''] };
  });
  const ids = () => {
    const some = chosen();
    if (some.length === 0) throw new Error('choose some letters first');
    return some.map((id) => ({ id }));
  };
  show(form, element('div', { class: 'buttons' },
    actionButton('Retry the chosen', async () => each('retry', 'retried', ids())),
    actionButton('Purge the chosen', async () => {
      const some = ids();
      if (await confirmed(`Purge ${some.length} dead letters? Nothing of them is kept.`, 'Purge')) await each('purge', 'purged', some);
    }, true),
    actionButton('Retry all that match', async () => {
      if (await confirmed('Retry all dead letters that match?', 'Retry')) await each('retry', 'retried', [whole]);
    }),
    actionButton('Purge all that match', async () => {
      if (await confirmed('Purge all dead letters that match? Nothing of them is kept.', 'Purge')) await each('purge', 'purged', [whole]);
    }, true)),
  messageLine(),
  table('Dead letters', [[''], ['Id'], ['Kind'], ['Level'], ['Cause'], ['Attempts', true], ['Died at'], ['Error']], rows,
    'no dead letters'),
  found.more ? element('p', {}, 'The newest 200 are shown.') : null ?? '');
}

// --- where we are

function parts() {
  const [path, rest] = location.hash.slice(1).split('?');
  const [view, id] = path.split('/');
  return { view: view || 'overview', id, parameters: Object.fromEntries(new URLSearchParams(rest ?? '')) };
}

async function go() {
  const { view, id, parameters } = parts();
  state.view = location.hash.slice(1) || 'overview';
  document.getElementById('views').replaceChildren(...views.map(([name, text]) =>
    element('a', { href: `#${name}`, 'aria-current': name === view || (name === 'jobs' && view === 'job') ? 'page' : null }, text)));
  try {
    if (view === 'jobs') await jobs(parameters);
    else if (view === 'job') await job(id ?? '', parameters);
    else if (view === 'dead') await dead(parameters);
    else if (view === 'schedules') await schedules();
    else showLive();
  } catch (error) {
    show(messageLine());
    message(error.message, true);
  }
}

/** Redraws, unless a user is about to press what would be replaced: focus stays where it is. */
function showLive() {
  const { view } = parts();
  const make = liveViews[view] ?? overview;
  if (['jobs', 'job', 'dead', 'schedules'].includes(view)) return;
  if (state.look === null) {
    show(element('p', {}, 'no look yet'));
    return;
  }
  const before = document.getElementById('message')?.textContent ?? '';
  const main = document.getElementById('main');
  const focusable = 'a, button, input, select, [tabindex="0"]';
  const place = [...main.querySelectorAll(focusable)].indexOf(document.activeElement);
  show(messageLine(), ...make(state.look));
  message(before);
  if (place >= 0) main.querySelectorAll(focusable)[place]?.focus({ preventScroll: true });
  drawPlots();
}

function setState(text, isBad) {
  const line = document.getElementById('state');
  line.textContent = text;
  line.className = isBad ? 'bad' : '';
}

function pointOf(look) {
  return {
    at: look.at,
    levels: Object.fromEntries(look.levels.map((one) =>
      [one.name, [one.depth, one.in_per_s, one.out_per_s, one.failed_per_s, one.wait_p50_ms, one.wait_p99_ms]])),
    kinds: Object.fromEntries(look.kinds.map((one) => [one.name, [one.completed_per_s, one.run_p50_ms, one.run_p99_ms]])),
  };
}

function take(name, data) {
  if (name === 'absent') {
    setState(`no engine: ${data.error}`, true);
    return;
  }
  state.look = data;
  state.points.push(pointOf(data));
  if (state.points.length > mostPoints) state.points.shift();
  document.getElementById('engine').textContent = data.engine.path;
  const trouble = data.engine.unlinked ? 'the memory was removed'
    : !data.keeper.alive ? 'no keeper lives' : data.journal.last_error !== '' ? `journal: ${data.journal.last_error}` : '';
  setState(trouble === '' ? `live, ${data.at}` : trouble, trouble !== '');
  showLive();
}

async function follow() {
  for (;;) {
    try {
      state.server = await ask('api/v1/server');
      state.points = (await ask('api/v1/history')).points;
      await listen(take);
      setState('the server has ended the stream', true);
    } catch (error) {
      setState(error.message, true);
    }
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
  }
}

window.addEventListener('hashchange', () => { go(); document.getElementById('main').focus({ preventScroll: true }); });
window.addEventListener('resize', drawPlots);
if (location.hash === '') history.replaceState(null, '', '#overview');
ask('api/v1/server').then((server) => { state.server = server; }).catch(() => {}).finally(go);
follow();
