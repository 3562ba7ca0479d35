'use strict';
// One agent of cli_trading, which of them is in SERVICE: /health, /status, /metrics, JSON logs, and on the orchestrator profit and loss and the halt.
// A file /tmp/<fault> switches a fault on; /logs/crash.<service> makes it end when it starts, /logs/delay_ms says how late every agent answers.
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const { Redis } = require('./resp.js');

const { SERVICE, PORT, ADMIN_TOKEN, REDIS, POSTGRES } = process.env;
const BUCKETS = [0.05, 0.1, 0.3, 0.5, 1, 2, 5];
const STARTED = Date.now() / 1000;
const redis = new Redis(REDIS);
const log = fs.createWriteStream(`/logs/${SERVICE}.log`, { flags: 'a' });
const seconds = { buckets: BUCKETS.map(() => 0), sum: 0, count: 0 };
const codes = {};
const counts = { orders: 0, failures: 0, pending: 0 };

const delay = () => (fs.existsSync('/logs/delay_ms') ? Number(fs.readFileSync('/logs/delay_ms', 'utf8')) : 0);
const faulty = (name) => fs.existsSync(`/tmp/${name}`);

function write(level, msg, extra = {}) {
  const line = `${JSON.stringify({ level, service: SERVICE, msg, time: new Date().toISOString(), ...extra })}\n`;
  process.stdout.write(line);
  log.write(line);
}

// PostgreSQL says whether it would speak TLS before anything else: enough to know that it answers.
function databaseAnswers() {
  return new Promise((resolve) => {
    const [host, port] = POSTGRES.split(':');
    const socket = net.connect(Number(port), host, () => socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])));
    const end = (answer) => { socket.destroy(); resolve(answer); };
    socket.setTimeout(2000, () => end('error'));
    socket.on('data', () => end('ok'));
    socket.on('error', () => end('error'));
  });
}

const keyOfToday = () => `pnl:${new Date().toISOString().slice(0, 10)}`;

async function today() {
  const key = keyOfToday();
  const fields = { date: key.slice(4), startEquity: '1000', realized: '2.5', percent: '0.25', dailyTargetPct: '1', halted: '0' };
  if (!(await redis.ask('EXISTS', key))) await redis.ask('HSET', key, ...Object.entries(fields).flat());
  const flat = await redis.ask('HGETALL', key);
  const found = Object.fromEntries(flat.flatMap((name, i) => (i % 2 ? [] : [[name, flat[i + 1]]])));
  const number = (name) => (faulty('null_pnl') ? null : Number(found[name]));
  return {
    date: found.date, startEquity: Number(found.startEquity), realized: number('realized'), percent: number('percent'),
    dailyTargetPct: Number(found.dailyTargetPct), halted: found.halted === '1',
  };
}

async function health() {
  const answers = await redis.ask('PING').then(() => 'ok', () => 'error');
  const found = { status: faulty('degraded') ? 'degraded' : 'ok', service: SERVICE, redis: answers, uptime: process.uptime(), ts: new Date().toISOString() };
  if (SERVICE === 'orchestrator') Object.assign(found, { db: await databaseAnswers(), pnl: answers === 'ok' ? await today() : null });
  return [faulty('unhealthy') ? 503 : 200, found];
}

function metrics() {
  const lines = [`process_start_time_seconds ${STARTED}`, `stream_pending_count{stream="notify.events",group="notify"} ${counts.pending}`];
  BUCKETS.forEach((bucket, i) => lines.push(`http_request_duration_seconds_bucket{le="${bucket}"} ${seconds.buckets[i]}`));
  lines.push(`http_request_duration_seconds_bucket{le="+Inf"} ${seconds.count}`);
  lines.push(`http_request_duration_seconds_sum ${seconds.sum}`, `http_request_duration_seconds_count ${seconds.count}`);
  for (const [code, count] of Object.entries(codes)) lines.push(`http_requests_total{code="${code}"} ${count}`);
  if (SERVICE === 'orchestrator' && !faulty('no_orders')) {
    lines.push(`trading_orders_total{symbol="BTC-USD"} ${counts.orders}`, `trading_order_failures_total ${counts.failures}`);
  }
  return `${lines.join('\n')}\n`;
}

async function halt(on, body) {
  const reason = (body && body.reason) || 'manual';
  await redis.ask('HSET', keyOfToday(), 'halted', on ? '1' : '0');
  await redis.ask('XADD', 'notify.events', 'MAXLEN', '~', '1000', '*', 'data', JSON.stringify({ type: on ? 'manual_halt' : 'manual_unhalt', reason }));
  return [200, { ok: true, halted: on }];
}

async function deadLetters(stream) {
  const entries = await redis.ask('XRANGE', stream, '-', '+', 'COUNT', '50');
  return [200, { stream, entries: entries.map(([id]) => ({ id })) }];
}

async function admin(method, url, body) {
  const asked = url.searchParams;
  if (method === 'POST' && url.pathname === '/admin/orchestrate/halt') return halt(true, body);
  if (method === 'POST' && url.pathname === '/admin/orchestrate/unhalt') return halt(false, body);
  if (url.pathname === '/admin/streams/pending') return [200, { summary: await redis.ask('XPENDING', asked.get('stream'), asked.get('group')) }];
  if (url.pathname === '/admin/streams/dlq') return deadLetters(asked.get('stream'));
  return [404, { error: 'not_found' }];
}

async function answer(request, url, body) {
  if (url.pathname === '/health') return health();
  if (url.pathname === '/status') return [200, { status: 'ok', service: SERVICE, role: SERVICE, uptime: process.uptime() }];
  if (url.pathname === '/metrics') return [200, metrics()];
  if (url.pathname === '/mcp/status') return [200, { status: faulty('disconnected') ? 'disconnected' : 'connected' }];
  if (SERVICE !== 'orchestrator') return [404, { error: 'not_found' }];
  if (url.pathname === '/pnl/status') return [200, await today()];
  if (!url.pathname.startsWith('/admin/')) return [404, { error: 'not_found' }];
  const allowed = request.headers['x-admin-token'] === ADMIN_TOKEN || faulty('open');
  return allowed ? admin(request.method, url, body) : [401, { error: 'unauthorized' }];
}

function account(request, url, status, began) {
  const took = Number(process.hrtime.bigint() - began) / 1e9;
  BUCKETS.forEach((bucket, i) => { if (took <= bucket) seconds.buckets[i] += 1; });
  seconds.sum += took;
  seconds.count += 1;
  codes[status] = (codes[status] || 0) + 1;
  const extra = { method: request.method, path: url.pathname, status, durationMs: Math.round(took * 1e3), ua: request.headers['user-agent'] };
  write('info', 'http_request', extra);
}

async function serve(request, response) {
  const began = process.hrtime.bigint();
  const url = new URL(request.url, 'http://agent');
  let text = '';
  for await (const part of request) text += part;
  let status = 500;
  let found = { error: 'internal' };
  await new Promise((resolve) => { setTimeout(resolve, delay()); });
  try {
    [status, found] = await answer(request, url, text ? JSON.parse(text) : null);
  } catch (error) {
    write('error', error.message);
  }
  const plain = typeof found === 'string';
  response.writeHead(status, { 'Content-Type': plain ? 'text/plain; version=0.0.4' : 'application/json' }).end(plain ? found : JSON.stringify(found));
  account(request, url, status, began);
}

async function tick() {
  counts.orders += 1;
  if (faulty('failing_orders')) counts.failures += 5;
  if (faulty('error_burst')) for (let i = 0; i < 200; i += 1) write('error', 'order was not accepted');
  if (faulty('flood')) for (let i = 0; i < 4000; i += 1) write('info', 'tick');
  if (SERVICE === 'orchestrator') {
    const found = await redis.ask('XPENDING', 'notify.events', 'notify').catch(() => [0]);
    [counts.pending] = found;
  }
}

async function start() {
  if (fs.existsSync(`/logs/crash.${SERVICE}`)) {
    write('fatal', 'ended on purpose');
    process.exitCode = 1;
    log.end();
    return;
  }
  if (SERVICE === 'orchestrator') await redis.ask('XGROUP', 'CREATE', 'notify.events', 'notify', '$', 'MKSTREAM').catch(() => null);
  http.createServer((request, response) => serve(request, response)).listen(Number(PORT));
  setInterval(() => tick().catch((error) => write('error', error.message)), 1000);
  write('info', 'started');
}

start();
