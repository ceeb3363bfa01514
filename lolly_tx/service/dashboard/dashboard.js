// The dashboard: rows that come over one stream, shown as they change. Whatever comes is put in as text, never as markup.
"use strict";

const SILENT = 3500;        // milliseconds without a word until what is shown is called stale
const HOPELESS = 15000;     // and until the stream is opened anew
const MOST_ROWS = 200;      // of targets, until all are asked for
const MOST_POOLS = 20;      // the same of pools, of which those in trouble come first
const SAMPLES = 10;         // seconds that rates are of
const HOUR = 3600;
const BOUNDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const TOLD = ["disabled", "draining"];  // what the operator said
const WORDS = {unhealthy: "down"};      // as people say

const TABLES = {             // rows -> what they are, and the heads of their columns
  wrong: ["Targets that take no new requests, and what brings them back", "Target", "State", "Since", "Why", "Comes back"],
  pool: ["Pools with their traffic of the last ten seconds", "Pool", "Targets", "Requests", "Failed", "Latency", "In flight", "Queue", "Retries", "Connections", "Out / in"],
  target: ["Targets, those that are out first", "Target", "State", "Last hour", "Requests", "Failed", "Latency", "In flight", "Change"],
  event: ["Changes of targets and pools, the latest first", "Time", "Target", "Change", "Cause"],
  listener: ["Where clients connect to", "Listener", "Address", "Open", "Accepted", "Served", "Out / in", "Refused"],
  worker: ["The processes that serve", "Worker", "State", "Process", "Since", "Starts"],
  certificate: ["Certificates that are served, and until when", "Names", "Listener", "Valid until", "Renewal"],
};

const byId = id => document.getElementById(id);
let rows = new Map();       // key -> row, as the stream tells
let events = [];            // the latest first
let at = 0;                 // the proxy's time in what came last, seconds since the epoch
let heard = 0;              // when that was, by our own clock
let stream = null;          // AbortController of the one that is open
let connected = false;
let stale = false;
let refused = "";           // why there is no stream
let session = {session: false, writes: false, writable: false};
let asked = null;           // what is being asked about
let everything = false;
let everyPool = false;
let samples = new Map();    // key -> [[at, row], ...]
let changing = null;        // the head of the column with the buttons
const busy = new Set();     // targets whose change was sent and has not come back

// -- words

const number = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const small = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const word = state => WORDS[state] || state;
const kind = state => state === "up" ? "up" : TOLD.includes(state) ? "told" : "bad";
const clock = when => new Date(when * 1000).toLocaleTimeString([], {hour12: false});
const now = () => at + (performance.now() - heard) / 1000;

function day(when) {
  const date = new Date(when * 1000);
  const today = new Date(now() * 1000).toDateString() === date.toDateString();
  return today ? clock(when) : `${date.toLocaleDateString([], {dateStyle: "medium"})} ${clock(when)}`;
}

function lasting(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < HOUR) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 24 * HOUR) return `${Math.floor(s / HOUR)} h ${Math.floor(s % HOUR / 60)} min`;
  return `${Math.floor(s / 24 / HOUR)} days`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < 3) { bytes /= 1000; unit++; }
  return `${(unit ? small : number).format(bytes)} ${units[unit]}`;
}

const rate = each => each === null ? "–" : `${(each < 10 ? small : number).format(each)}/s`;
const span = s => s === null ? "–" : s < 1 ? `${(s < 0.01 ? small : number).format(s * 1000)} ms` : `${small.format(s)} s`;

// -- numbers over the last seconds

function sampled(key, row) {
  const list = samples.get(key) || [];
  list.push([at, row]);
  while (list.length > 1 && (list[0][0] < at - SAMPLES || list[0][0] > at)) list.shift();
  samples.set(key, list);
}

function change(key, field) {
  const list = samples.get(key) || [];
  if (list.length < 2) return null;
  const [from, old] = list[0], [to, row] = list[list.length - 1];
  return to > from ? {count: Math.max(0, (row[field] || 0) - (old[field] || 0)), seconds: to - from} : null;
}

function perSecond(key, field) {
  const found = change(key, field);
  return found && found.count / found.seconds;
}

const flow = (key, field) => `${size(perSecond(key, field) || 0)}/s`;

function mean(keys) {
  let count = 0, seconds = 0;
  for (const key of keys) {
    const answers = change(key, "successes"), took = change(key, "seconds");
    if (answers && took) { count += answers.count; seconds += took.count; }
  }
  return count ? seconds / count : null;
}

// The bound below which a part of the exchanges of the last seconds were; null where durations are not counted.
function percentile(key, part) {
  const list = samples.get(key) || [];
  if (list.length < 2 || !list[0][1].served) return null;
  const old = list[0][1].served, counts = (list[list.length - 1][1].served || []).map((n, i) => n - (old[i] || 0));
  const total = counts.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    sum += counts[i];
    if (total && sum >= part * total) return i < BOUNDS.length ? `≤ ${span(BOUNDS[i])}` : `> ${span(10)}`;
  }
  return null;
}

// -- putting it in

function say(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}

function make(name, text, cls) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (cls) node.className = cls;
  return node;
}

// The heads and the body of a table of the page, and the cells of its heads.
function headed(table) {
  const [caption, ...columns] = TABLES[table.dataset.rows], row = make("tr"), body = make("tbody");
  for (const text of columns) {
    const head = make("th", text);
    head.scope = "col";
    row.append(head);
  }
  table.append(make("caption", caption, "unseen"), make("thead"), body);
  table.tHead.append(row);
  body.id = `${table.dataset.rows}-rows`;
  return row.cells;
}

// A cell is text, [text, smaller text], or {show(cell)}: what fills it by itself.
function fill(cell, value) {
  if (value && value.show) return value.show(cell);
  const [text, less] = Array.isArray(value) ? value : [value, ""];
  if (!cell.firstChild) cell.append(document.createTextNode(""), make("small"));
  if (cell.firstChild.data !== String(text)) cell.firstChild.data = String(text);
  say(cell.lastChild, less || "");
  cell.lastChild.hidden = !less;
}

const badge = state => ({show(cell) {
  const node = cell.firstChild || cell.appendChild(make("span"));
  say(node, state.text);
  node.className = `badge ${state.kind}`;
}});

// Rows in the order of `wanted`, [key, cells]. One that has the focus stays, and where it is, until it has lost it.
function table(id, wanted) {
  const body = byId(id);
  const labels = Array.from(body.parentNode.tHead.rows[0].cells, one => one.textContent);
  const there = new Map(Array.from(body.rows, row => [row.dataset.key, row]));
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
  for (const [key, cells] of wanted) {
    let row = there.get(key);
    if (!row) {
      row = make("tr");
      row.dataset.key = key;
      cells.forEach((_, i) => {
        const cell = make(i ? "td" : "th");
        if (i) cell.dataset.label = labels[i]; else cell.scope = "row";
        if (cells[i] && cells[i].wide) cell.className = "wide";
        row.append(cell);
      });
      body.append(row);
    }
    there.delete(key);
    cells.forEach((value, i) => fill(row.cells[i], value));
  }
  for (const row of there.values()) if (row !== focused) row.remove();
  if (focused) return;
  wanted.forEach(([key], i) => {
    const here = body.rows[i];
    if (here.dataset.key !== key) {
      for (let j = i + 1; j < body.rows.length; j++) {
        if (body.rows[j].dataset.key === key) { body.insertBefore(body.rows[j], here); break; }
      }
    }
  });
}

// -- the last hour of a target

const SVG = "http://www.w3.org/2000/svg";
const HEIGHTS = {up: 6, told: 11, bad: 16};

function strip(row) {
  const until = now(), from = until - HOUR, parts = [];
  const list = row.strip || [];
  list.forEach(([began, state], i) => {
    const left = Math.max(0, began - from), right = Math.min(HOUR, (i + 1 < list.length ? list[i + 1][0] : until) - from);
    if (right > left && state !== "off") parts.push([left, Math.max(right - left, 12), kind(state), state]);
  });
  return {wide: true, show(cell) {
    const told = JSON.stringify([row.strip, Math.floor(until / 15)]);
    if (cell.dataset.told === told) return;
    cell.dataset.told = told;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "strip");
    svg.setAttribute("viewBox", `0 0 ${HOUR} 16`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", inWords(parts));
    for (const [x, width, cls] of [[0, HOUR, "ground"], ...parts]) {
      const rect = document.createElementNS(SVG, "rect"), height = HEIGHTS[cls] || 1.5;
      for (const [name, value] of [["x", x], ["width", width], ["y", 16 - height], ["height", height], ["class", cls]]) rect.setAttribute(name, value);
      svg.append(rect);
    }
    cell.replaceChildren(svg);
  }};
}

function inWords(parts) {
  const total = new Map();
  for (const [, width, , state] of parts) total.set(state, (total.get(state) || 0) + width);
  const each = Array.from(total, ([state, seconds]) => `${word(state)} for ${lasting(seconds)}`);
  return `Last hour: ${each.join(", ") || "not watched"}`;
}

// -- the page

const of = prefix => Array.from(rows).filter(([key]) => key.startsWith(prefix));
const name = row => row.pool + "/" + row.id;
const place = row => row.address === row.id || row.address === `http://${row.id}` ? row.pool : `${row.pool} · ${row.address}`;

function since(row) {
  return row.since == null ? "–" : [lasting(now() - row.since), day(row.since)];
}

function order(one, other) {
  const rank = row => row.state === "up" ? 2 : kind(row.state) === "told" ? 1 : 0;
  return rank(one[1]) - rank(other[1]);
}

function show() {
  const proxy = rows.get("proxy");
  if (!proxy) return;
  const said = proxy.verdict;
  say(byId("verdict"), said);
  document.title = `${stale ? "Stale: " : ""}${said} · lolly`;
  document.body.classList.toggle("well", proxy.well);
  document.body.classList.toggle("ailing", !proxy.well);
  const pools = of("pool/"), targets = of("target/").sort(order);
  const out = targets.filter(([, row]) => row.state !== "up");
  say(byId("more"), more(proxy, pools, targets));
  say(byId("settings"), `generation ${proxy.generation}`);
  showWrong(out);
  for (const [key, row] of pools) sampled(key, row);
  for (const [key, row] of targets) sampled(key, row);
  for (const [key, row] of of("listener/")) sampled(key, row);
  showPools(pools, targets);
  showTargets(targets);
  showEvents();
  showPlaces();
  showProcess(proxy);
}

function more(proxy, pools, targets) {
  const ready = proxy.unready && proxy.unready.length ? `Not ready: ${proxy.unready.join("; ")}. ` : "";
  return `${ready}${targets.length} target${targets.length === 1 ? "" : "s"} in ${pools.length} pool${pools.length === 1 ? "" : "s"}, as of ${clock(at)}`;
}

function showWrong(out) {
  byId("wrong").hidden = !out.length && !byId("wrong").contains(document.activeElement);
  table("wrong-rows", out.slice(0, 50).map(([key, row]) => [key, [
    [row.id, place(row)],
    badge({text: word(row.state), kind: kind(row.state)}),
    since(row),
    [row.cause || "–", row.seen && !row.cause.endsWith(row.seen) ? `last check: ${row.seen}` : ""],
    [comes(row), row.drain_ends ? `what is under way is cut at ${clock(row.drain_ends)}` : ""],
  ]]));
  say(byId("wrong-more"), out.length > 50 ? `and ${out.length - 50} more: see the targets below` : "");
}

function comes(row) {
  const text = (row.back || "").replace(/^[^:]*: back /, "");
  return text.charAt(0).toUpperCase() + text.slice(1) || "–";
}

function showPools(pools, targets) {
  const worst = ([, row]) => row.targets ? row.available / row.targets : 0;
  const members = new Map(pools.map(([, row]) => [row.name, []]));
  for (const [key, row] of targets) (members.get(row.pool) || []).push(key);
  const wanted = pools.slice().sort((a, b) => worst(a) - worst(b)), shown = everyPool ? wanted : wanted.slice(0, MOST_POOLS);
  byId("all-pools").hidden = shown.length === wanted.length;
  say(byId("all-pools"), `Show all ${number.format(wanted.length)}`);
  table("pool-rows", shown.map(([key, row]) => {
    const p50 = percentile(key, 0.5), p99 = percentile(key, 0.99);
    const latency = p99 ? [`p50 ${p50}`, `p99 ${p99}`] : span(mean(members.get(row.name)));
    const left = row.targets - row.out, full = left - row.available;
    const state = !row.targets ? "no targets" : !left ? "out" : row.out ? `${row.out} of ${row.targets} out` : "all up";
    return [key, [
      row.name,
      {show(cell) {
        badge({text: state, kind: !row.out && row.targets ? "up" : left ? "told" : "bad"}).show(cell);
        const less = cell.children[1] || cell.appendChild(make("small"));
        say(less, `${row.available} of ${row.targets} available${full > 0 ? `, ${full} full` : ""}${row.panics ? `, panic ${number.format(row.panics)} times` : ""}`);
      }},
      [rate(perSecond(key, "exchanges")), number.format(row.exchanges)],
      [rate(perSecond(key, "failed")), number.format(row.failed) + (row.refused ? `, ${number.format(row.refused)} refused` : "")],
      latency,
      number.format(row.in_flight),
      row.queue ? [number.format(row.queue.waiting), `${number.format(row.queue.refused + row.queue.expired)} gave up`] : "–",
      [rate(perSecond(key, "retries")), number.format(row.retries)],
      [number.format(row.open), `${number.format(row.idle)} idle`],
      [flow(key, "bytes_out"), `${flow(key, "bytes_in")} in`],
    ]];
  }));
}

function showTargets(targets) {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = targets.filter(([, row]) => {
    const text = `${name(row)} ${row.address} ${word(row.state)} ${row.state === "up" ? "" : "out"} ${row.full ? "full" : ""}`.toLowerCase();
    return words.every(one => text.includes(one));
  });
  const shown = everything ? found : found.slice(0, MOST_ROWS);
  byId("all").hidden = shown.length === found.length;
  say(byId("all"), `Show all ${number.format(found.length)}`);
  say(byId("shown"), words.length || shown.length < targets.length ? `${number.format(shown.length)} of ${number.format(targets.length)} shown` : "");
  changing.hidden = !session.writable;
  table("target-rows", shown.map(([key, row]) => [key, [
    [row.id, place(row) + (row.backup ? " · backup" : "") + (row.weight !== 1 ? ` · weight ${row.weight}` : "")],
    badge({text: row.full && row.state === "up" ? "up, full" : word(row.state), kind: kind(row.state)}),
    strip(row),
    [rate(perSecond(key, "requests")), number.format(row.requests)],
    [rate(perSecond(key, "failures")), number.format(row.failures)],
    span(mean([key])),
    number.format(row.in_flight) + (row.room === null ? "" : ` of ${number.format(row.room)}`),
    changes(key, row),
  ]]));
}

function changes(key, row) {
  const offered = row.enabled === "up" ? ["drain", "disable", "weight"] : ["enable", "weight"];
  return {show(cell) {
    cell.hidden = !session.writable;
    const there = Array.from(cell.children, one => one.dataset.word).join();
    if (there !== offered.join() && !cell.contains(document.activeElement)) {
      cell.replaceChildren(...offered.map(one => {
        const button = make("button", one.charAt(0).toUpperCase() + one.slice(1));
        button.type = "button";
        button.dataset.word = one;
        button.setAttribute("aria-label", `${button.textContent}${one === "weight" ? " of" : ""} ${name(row)}`);
        button.onclick = () => ask(key, one);
        return button;
      }));
    }
    for (const one of cell.children) one.disabled = stale || busy.has(key);
  }};
}

function showEvents() {
  byId("no-events").hidden = events.length > 0;
  table("event-rows", events.slice(0, 30).map(one => [String(one.number), [
    {show(cell) { say(cell, day(Date.parse(one.time) / 1000)); }},
    one.target ? [one.target, one.pool] : one.pool,
    `${one.fact}: ${one.old || "–"} → ${one.new || "–"}`,
    one.cause,
  ]]));
}

function showPlaces() {
  table("listener-rows", of("listener/").map(([key, row]) => [key, [
    row.name, [row.address || row.endpoint, row.tls ? "TLS" : ""],
    row.open == null ? "–" : number.format(row.open),
    row.accepted == null ? "–" : [rate(perSecond(key, "accepted")), number.format(row.accepted)],
    row.served == null ? "–" : [rate(perSecond(key, "served")), `${number.format(row.served)} ${row.kind === "stream" ? "sessions" : "requests"}`],
    row.served == null ? "–" : [flow(key, "bytes_out"), `${flow(key, "bytes_in")} in`],
    row.turned_away == null ? "–" : [number.format(row.turned_away + (row.shed || 0) + (row.refused || 0)), row.refused ? `${number.format(row.refused)} went nowhere` : ""],
  ]]));
  const workers = of("worker/"), certificates = of("certificate/");
  byId("workers").hidden = !workers.length;
  table("worker-rows", workers.map(([key, row]) => [key, [
    `worker ${row.worker}`, badge(row.serving ? {text: "serves", kind: "up"} : {text: row.why || "does not serve", kind: "bad"}),
    row.pid || "–", row.since ? day(row.since) : "–", row.starts,
  ]]));
  byId("certificates").hidden = !certificates.length;
  table("certificate-rows", certificates.map(([key, row]) => {
    const ends = Date.parse(row.not_after) / 1000, left = ends - now();
    return [key, [
      (row.names || []).join(", ") || row.path, row.listener,
      [left > 0 ? `${lasting(left)} left` : "expired", new Date(ends * 1000).toLocaleDateString([], {dateStyle: "medium"})],
      badge(row.refused ? {text: `refused: ${row.refused}`, kind: "bad"} : left < 14 * 24 * HOUR ? {text: "due soon", kind: "told"} : {text: "in order", kind: "up"}),
    ]];
  }));
}

function showProcess(proxy) {
  const reload = proxy.last_reload_ok === false ? `the last reload was refused (${proxy.reload_failures} in all)` : "the last load was in order";
  const trial = proxy.unconfirmed_until ? ` On trial until ${day(Date.parse(proxy.unconfirmed_until) / 1000)}.` : proxy.applied ? " Applied: not what the file says." : "";
  const changed = proxy.run_time_changes ? ` Changed at run time: ${number.format(proxy.run_time_changes)} target${proxy.run_time_changes === 1 ? "" : "s"}.` : "";
  say(byId("process"), `lolly_tx ${proxy.version}. ${proxy.file}: generation ${proxy.generation}, loaded ${day(Date.parse(proxy.loaded_at) / 1000)}; ${reload}.${trial}${changed}`);
}

// -- the stream

function take(event, data) {
  if (event !== "snapshot" && event !== "delta") return;
  if (event === "snapshot") { rows = new Map(Object.entries(data.rows)); events = []; }
  else {
    for (const [key, news] of Object.entries(data.rows)) {
      if (news === null) { rows.delete(key); samples.delete(key); continue; }
      rows.set(key, {...rows.get(key), ...news});
      if ("enabled" in news || "state" in news || "weight" in news) busy.delete(key);
    }
  }
  events = data.events.slice().reverse().concat(events).slice(0, 100);
  const before = rows.get("proxy") && byId("verdict").textContent;
  at = data.at;
  heard = performance.now();
  connected = true;
  refused = "";
  pulse();
  show();
  if (byId("verdict").textContent !== before) announce(byId("verdict").textContent);
}

const announce = text => say(byId("announcer"), text);

async function listen() {
  let wait = 500;
  for (;;) {
    stream = new AbortController();
    try {
      const answer = await fetch("/api/live", {headers: {Accept: "text/event-stream"}, signal: stream.signal, cache: "no-store"});
      if (answer.status === 401) { needToken(); await new Promise(done => { listen.again = done; }); continue; }
      if (!answer.ok) throw new Error(`the proxy answers ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const fields = Object.fromEntries(text.slice(0, end).split("\n").map(line => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
          if (fields.data) { take(fields.event, JSON.parse(fields.data)); wait = 500; }
        }
      }
    } catch (error) {
      refused = error.name === "AbortError" ? refused : error.message;
    }
    connected = false;
    await new Promise(done => { listen.again = done; setTimeout(done, wait * (0.75 + Math.random() / 2)); });
    wait = Math.min(5000, wait * 2);
  }
}

function pulse() {
  const silent = heard ? performance.now() - heard : 0;
  const was = stale;
  stale = heard > 0 && silent > SILENT;
  const text = !heard ? (refused || "connecting") : stale ? `stale, ${Math.round(silent / 1000)} s` : "live";
  say(byId("pulse"), text);
  document.body.classList.toggle("live", heard > 0 && !stale);
  document.body.classList.toggle("stale", stale);
  if (stale !== was) {
    announce(stale ? `Stale: nothing was heard from the proxy since ${clock(at)}` : "Live again");
    if (stale) document.title = `Stale: ${byId("verdict").textContent} · lolly`;
    for (const one of document.querySelectorAll("#target-rows button")) one.disabled = stale;
  }
  byId("asking-yes").disabled = stale;
  if (stale && silent > HOPELESS && connected) { connected = false; stream.abort(); }
}

// -- changes

const MEANS = {
  drain: "New requests go elsewhere; those under way end by themselves.",
  disable: "No requests go there until it is enabled again.",
  enable: "It takes requests again, as far as its checks and its traffic allow.",
  weight: "Its share of the requests beside the others of its pool, until the configuration has another word on it.",
};

function ask(key, verb) {
  asked = {key, verb};
  if (!session.writes) return sign("To change anything, sign in with the token for writing.");
  const row = rows.get(key);
  if (!row) return;
  const weighs = verb === "weight", does = verb.charAt(0).toUpperCase() + verb.slice(1);
  say(byId("asking-title"), weighs ? `Weight of ${name(row)}` : `${does} ${name(row)}?`);
  const alone = (verb === "drain" || verb === "disable") && row.state === "up" && !of("target/").some(([other, one]) => other !== key && one.pool === row.pool && one.state === "up");
  say(byId("asking-text"), MEANS[verb] + (alone ? ` It is the last target of ${row.pool} that is up: the pool will be out.` : ""));
  say(byId("asking-yes"), weighs ? "Set" : does);
  byId("asking-number").hidden = byId("weight").disabled = !weighs;
  if (!byId("asking").open) byId("asking").showModal();
  if (!weighs) return byId("asking-no").focus();
  byId("weight").value = row.weight;
  byId("weight").select();
}

async function carryOut() {
  const {key, verb} = asked, row = rows.get(key);
  byId("asking").close();
  if (!row || stale) return;
  busy.add(key);
  show();
  const target = ["/api/pools", encodeURIComponent(row.pool), encodeURIComponent(row.id)].join("/");
  const weight = JSON.stringify({weight: byId("weight").valueAsNumber});
  let problem = "";
  try {
    const answer = verb === "weight" ? await fetch(target, {method: "PATCH", body: weight}) : await fetch(`${target}/${verb}`, {method: "POST"});
    if (answer.status === 401) { busy.delete(key); await tell(); return sign("The session has ended."); }
    if (!answer.ok) problem = (await answer.json()).error;
  } catch (error) { problem = error.message; }
  announce(problem ? `${verb} ${name(row)}: ${problem}` : `${verb} ${name(row)}: done`);
  if (problem) { busy.delete(key); show(); }
  setTimeout(() => { if (busy.delete(key)) show(); }, 3000);  // it may have been so already
}

// -- who we are

async function tell() {
  const answer = await fetch("/api/session", {cache: "no-store"});
  session = answer.ok ? await answer.json() : {session: false, writes: false, writable: false};
  byId("sign").hidden = !session.session && !session.writable && answer.ok;
  say(byId("sign"), session.session ? "Sign out" : "Sign in");
  show();
}

function sign(why) {
  say(byId("signing-error"), why || "");
  if (!byId("signing").open) byId("signing").showModal();
  byId("token").focus();
}

function needToken() {
  rows = new Map();
  heard = 0;
  refused = "a token is needed";
  document.body.classList.remove("well", "ailing");
  say(byId("verdict"), "Sign in to see how the proxy is");
  document.title = "Sign in · lolly";
  for (const body of document.querySelectorAll("tbody")) body.replaceChildren();
  byId("sign").hidden = false;
  pulse();
  sign("");
}

async function beginSession(token) {
  const answer = await fetch("/api/session", {method: "POST", headers: {Authorization: `Bearer ${token}`}});
  if (!answer.ok) return sign((await answer.json()).error);
  byId("signing").close();
  await tell();
  stream.abort();
  if (listen.again) listen.again();
  if (asked && session.writes) ask(asked.key, asked.verb);
}

for (const table of document.querySelectorAll("table[data-rows]")) {
  const heads = headed(table);
  if (table.dataset.rows === "target") { heads[2].className = "wide"; changing = heads[heads.length - 1]; }
}
changing.className = "words";
changing.hidden = true;
byId("sign").onclick = async () => {
  asked = null;
  if (!session.session) return sign("");
  await fetch("/api/session", {method: "DELETE"});
  await tell();
  stream.abort();
  if (listen.again) listen.again();
};
byId("signing-form").onsubmit = event => {
  event.preventDefault();
  const token = byId("token").value;
  byId("token").value = "";
  beginSession(token).catch(error => sign(error.message));
};
byId("signing-no").onclick = () => { asked = null; byId("signing").close(); };
byId("asking-no").onclick = () => byId("asking").close();
byId("asking-form").onsubmit = event => { event.preventDefault(); carryOut(); };
byId("filter").oninput = () => show();
byId("all-pools").onclick = () => { everyPool = true; show(); byId("pools-title").focus(); };
byId("all").onclick = () => { everything = true; show(); byId("filter").focus(); };
document.addEventListener("keydown", event => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  byId("filter").focus();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) { pulse(); show(); } });
setInterval(pulse, 500);
tell().catch(() => {});
listen();
