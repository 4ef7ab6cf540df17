// SPDX-License-Identifier: BSD-2-Clause
// The report of a matrix: draws all of it from the data in the page (scripts/matrix/Matrix/Report.pm says what these are).
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const signs = {
	fail: ['✗', 'failed'], flaky: ['≈', 'failed sometimes'], known: ['~', 'known bug'],
	mended: ['+', 'known bug that passes here'], pass: ['✓', 'passed'], skip: ['–', 'skipped'], none: ['·', 'not run'],
};
const states = { passed: '✓', failed: '✗', absent: '∅', broken: '!' };
const $ = (id) => document.getElementById(id);
const text = (index) => data.strings[index];
let opener = null;

function element(name, attributes = {}, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

function duration(seconds) {
	if (seconds < 10)
		return `${seconds.toFixed(1)} s`;
	return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function result(cell, test) {
	return (data.results[cell] || {})[test];
}

/* --- The head: what it came to, what the signs mean, the filters -------------------------------------- */

function drawHead() {
	const count = data.total;
	$('run').textContent = `${data.run.version} · run ${data.run.id} · ${duration(data.run.seconds)}` +
		(data.run.repeat > 1 ? ` · ${data.run.repeat} times each` : '');
	const ran = data.cells.filter((cell) => cell.state === 'passed' || cell.state === 'failed').length;
	$('summary').textContent = `${ran} of ${data.cells.length} cells ran: ${count.pass + count.mended} passed, ` +
		`${count.fail} failed, ${count.flaky} failed sometimes, ${count.known} known, ${count.skip} skipped`;
	for (const [status, [sign, words]] of Object.entries(signs))
		$('legend').append(element('li', {}, element('span', { class: `sign ${status}`, 'aria-hidden': 'true' }, sign), words));
	fill('group', [...new Set(data.tests.flatMap((test) => test.groups))].sort(), 'all groups');
	fill('host', [...new Set(data.cells.map((cell) => cell.axes.host))], 'all hosts');
	fill('status', Object.keys(signs).filter((status) => status !== 'none'), 'any status', (status) => signs[status][1]);
	for (const id of ['group', 'host', 'status', 'text'])
		$(id).addEventListener('input', drawMatrix);
	$('filters').addEventListener('submit', (event) => event.preventDefault());
}

function fill(id, values, all, words = (value) => value) {
	$(id).append(element('option', { value: '' }, all));
	for (const value of values)
		$(id).append(element('option', { value }, words(value)));
}

/* --- The table --------------------------------------------------------------------------------------- */

function chosenCells() {
	const host = $('host').value;
	return data.cells.map((cell, index) => index).filter((index) => !host || data.cells[index].axes.host === host);
}

function chosenTests(cells) {
	const group = $('group').value, status = $('status').value, part = $('text').value.trim().toLowerCase();
	return data.tests.map((test, index) => index).filter((index) =>
		(!group || data.tests[index].groups.includes(group)) &&
		data.tests[index].name.toLowerCase().includes(part) &&
		cells.some((cell) => result(cell, index) && (!status || result(cell, index).status === status)));
}

function headRow(cells) {
	const row = element('tr', {}, element('th', { scope: 'col' }, 'test'));
	for (const index of cells) {
		const cell = data.cells[index];
		row.append(element('th', { scope: 'col', title: `${cell.state}${cell.why ? `: ${cell.why}` : ''}` },
			element('span', {}, cell.name), element('span', { class: 'state' }, states[cell.state])));
	}
	return element('thead', {}, row);
}

function square(cell, test) {
	const found = result(cell, test), status = found ? found.status : 'none';
	const label = `${data.tests[test].name} in ${data.cells[cell].name}: ${signs[status][1]}`;
	return element('td', { class: status, role: 'gridcell', tabindex: '-1', 'data-cell': cell, 'data-test': test,
		'aria-label': label, title: label }, signs[status][0]);
}

function drawMatrix() {
	const cells = chosenCells(), tests = chosenTests(cells), table = $('matrix');
	const body = element('tbody');
	let group = null;

	for (const test of tests) {
		if (data.tests[test].groups[0] !== group) {
			group = data.tests[test].groups[0];
			body.append(element('tr', { class: 'group' }, element('th', { colspan: cells.length + 1 }, group)));
		}
		const row = element('tr', { role: 'row' }, element('th', { scope: 'row' }, data.tests[test].name));
		for (const cell of cells)
			row.append(square(cell, test));
		body.append(row);
	}
	table.replaceChildren(headRow(cells), body);
	$('shown').textContent = `${tests.length} of ${data.tests.length} tests, ${cells.length} of ${data.cells.length} cells`;
	const first = table.querySelector('td');
	if (first)
		first.tabIndex = 0;
}

function moveTo(square) {
	if (!square)
		return;
	for (const other of $('matrix').querySelectorAll('td[tabindex="0"]'))
		other.tabIndex = -1;
	square.tabIndex = 0;
	square.focus();
	square.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function neighbour(square, key) {
	const rows = [...$('matrix').querySelectorAll('tbody tr[role="row"]')];
	const row = rows.indexOf(square.parentElement), column = square.cellIndex, last = square.parentElement.cells.length - 1;
	const at = (r, c) => rows[Math.max(0, Math.min(rows.length - 1, r))].cells[Math.max(1, Math.min(last, c))];

	return { ArrowUp: () => at(row - 1, column), ArrowDown: () => at(row + 1, column), ArrowLeft: () => at(row, column - 1),
		ArrowRight: () => at(row, column + 1), Home: () => at(row, 1), End: () => at(row, last),
		PageUp: () => at(row - 10, column), PageDown: () => at(row + 10, column) }[key];
}

/* --- What a click shows ------------------------------------------------------------------------------ */

function pointLine(point) {
	const line = element('div', {}, element('p', { class: `point ${point.status}` },
		`${signs[point.status][0]} ${text(point.name)}`, point.often ? ` (failed ${point.often})` : ''));
	if (point.why)
		line.append(element('p', { class: 'why' }, text(point.why)));
	if (point.detail)
		line.append(element('pre', {}, text(point.detail)));
	return line;
}

function pages(cell, test, found) {
	const points = [...found.points].sort((a, b) =>
		Object.keys(signs).indexOf(a.status) - Object.keys(signs).indexOf(b.status));
	const information = element('div', {}, element('p', {}, 'Once more, this test alone:'),
		element('pre', {}, `./run_tests.sh ${data.cells[cell].where} ${data.tests[test].name}`));
	for (const [what, version] of Object.entries(data.cells[cell].versions))
		information.append(element('p', {}, `${what}: ${version}`));
	return {
		Points: () => element('div', {}, ...points.map(pointLine)),
		Console: () => element('pre', {}, text(found.tap) || 'nothing'),
		'Kernel log': () => element('pre', {}, found.log ? text(found.log) : 'this host has no kernel under the guest, or it said nothing'),
		Information: () => information,
	};
}

function show(tab, made) {
	for (const other of $('tabs').children) {
		other.setAttribute('aria-selected', other === tab);
		other.tabIndex = other === tab ? 0 : -1;
	}
	$('panel').replaceChildren(made());
}

function openDetails(square) {
	const cell = +square.dataset.cell, test = +square.dataset.test, found = result(cell, test);
	if (!found)
		return;
	opener = square;
	$('details-title').textContent = `${signs[found.status][0]} ${data.tests[test].name} in ${data.cells[cell].name}` +
		(found.seconds ? ` (${duration(found.seconds)})` : '');
	$('tabs').replaceChildren();
	for (const [name, made] of Object.entries(pages(cell, test, found))) {
		const tab = element('button', { type: 'button', role: 'tab' }, name);
		tab.addEventListener('click', () => show(tab, made));
		$('tabs').append(tab);
	}
	$('details').hidden = false;
	$('tabs').firstChild.click();
	$('tabs').firstChild.focus();
}

function closeDetails() {
	$('details').hidden = true;
	if (opener && opener.isConnected)
		moveTo(opener);
	opener = null;
}

/* --- Below the table --------------------------------------------------------------------------------- */

function list(id, title, columns, rows) {
	if (!rows.length)
		return;
	const table = element('table', {}, element('thead', {}, element('tr', {}, ...columns.map((name) => element('th', { scope: 'col' }, name)))));
	for (const row of rows)
		table.append(element('tr', {}, ...row.map((value) => element('td', {}, String(value)))));
	$(id).append(element('h2', {}, title), table);
}

function drawComparison() {
	const compare = data.compare;
	if (!compare)
		return;
	list('compare', `Broke since ${compare.id} (${compare.broke.length})`, ['cell', 'test', 'point'], compare.broke);
	list('compare', `Mended since ${compare.id} (${compare.mended.length})`, ['cell', 'test', 'point'], compare.mended);
	list('compare', `Slower than in ${compare.id} (${compare.slower.length})`, ['cell', 'test', 'then', 'now'],
		compare.slower.map(([cell, test, then, now]) => [cell, test, duration(then), duration(now)]));
	if (!compare.broke.length && !compare.mended.length && !compare.slower.length)
		$('compare').append(element('p', {}, `Nothing broke, was mended or became slower since ${compare.id}.`));
}

function svg(name, attributes, ...children) {
	const made = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

/* One line over the runs; the scale begins at 0. */
function chart(title, values, colour, words) {
	const width = 720, height = 130, left = 90, top = Math.max(...values, 1);
	const x = (i) => left + i * (width - left - 40) / Math.max(1, values.length - 1), y = (value) => height - 30 - value / top * (height - 55);
	const drawn = svg('svg', { viewBox: `0 0 ${width} ${height}`, width, role: 'img', 'aria-label': `${title}: ${values.map(words).join(', ')}` },
		svg('text', { x: 0, y: 14 }, title), svg('text', { x: 0, y: y(top) + 4 }, words(top)), svg('text', { x: 0, y: y(0) + 4 }, words(0)),
		svg('line', { x1: left, x2: width - 40, y1: y(0), y2: y(0), stroke: 'currentColor', 'stroke-opacity': .3 }),
		svg('polyline', { points: values.map((value, i) => `${x(i)},${y(value)}`).join(' '), fill: 'none', stroke: colour, 'stroke-width': 2 }));
	values.forEach((value, i) => drawn.append(svg('circle', { cx: x(i), cy: y(value), r: 4, fill: colour },
		svg('title', {}, `${data.runs[i].id}: ${words(value)}`))));
	drawn.append(svg('text', { x: left, y: height - 8 }, data.runs[0].id),
		svg('text', { x: width - 40, y: height - 8, 'text-anchor': 'end' }, data.runs[data.runs.length - 1].id));
	return drawn;
}

function drawPlot() {
	if (data.runs.length < 3)
		return;
	$('plot').append(element('h2', {}, `The last ${data.runs.length} runs`),
		chart('Points that passed', data.runs.map((run) => run.pass), '#0072b2', String),
		chart('Points that failed', data.runs.map((run) => run.fail), '#d55e00', String),
		chart('Time of all cells', data.runs.map((run) => run.seconds), '#009e73', duration));
}

function drawCells() {
	list('cells', 'Cells', ['cell', 'state', 'passed', 'failed', 'known', 'skipped', 'time', 'versions'], data.cells.map((cell) => [
		cell.name, `${states[cell.state]} ${cell.state}${cell.why ? `: ${cell.why}` : ''}`, cell.count.pass + cell.count.mended, cell.count.fail,
		cell.count.known, cell.count.skip, duration(cell.seconds),
		Object.entries(cell.versions).map(([what, version]) => `${what} ${version}`).join(' · ')]));
	list('flakes', 'Flakes', ['cell', 'test', 'point', 'failed'], data.flakes);
}

$('matrix').addEventListener('click', (event) => {
	const square = event.target.closest('td');
	if (square) {
		moveTo(square);
		openDetails(square);
	}
});
$('matrix').addEventListener('keydown', (event) => {
	const square = event.target.closest('td');
	if (!square)
		return;
	const move = neighbour(square, event.key);
	if (move)
		moveTo(move());
	else if (event.key === 'Enter' || event.key === ' ')
		openDetails(square);
	else
		return;
	event.preventDefault();
});
$('tabs').addEventListener('keydown', (event) => {
	const tabs = [...$('tabs').children], step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
	if (!step)
		return;
	const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
	next.click();
	next.focus();
});
$('close').addEventListener('click', closeDetails);
document.addEventListener('keydown', (event) => {
	if (event.key === 'Escape' && !$('details').hidden)
		closeDetails();
	if (event.key === '/' && event.target.tagName !== 'INPUT') {
		event.preventDefault();
		$('text').focus();
	}
});
drawHead();
drawMatrix();
drawComparison();
drawPlot();
drawCells();
document.body.dataset.ready = 'yes';
