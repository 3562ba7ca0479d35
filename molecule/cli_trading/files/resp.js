'use strict';
// As much of Redis' protocol (RESP 2) as the agents need: one connection, answers in the order of the questions.
const net = require('node:net');

// One value from `text` at `at`: [value, where the next begins], or null when it is not all there yet.
function value(text, at) {
  const end = text.indexOf('\r\n', at);
  if (end < 0) return null;
  const line = text.slice(at + 1, end);
  const next = end + 2;
  switch (text[at]) {
    case '+': return [line, next];
    case '-': return [new Error(line), next];
    case ':': return [Number(line), next];
    case '$': {
      const length = Number(line);
      if (length < 0) return [null, next];
      return text.length < next + length + 2 ? null : [text.slice(next, next + length), next + length + 2];
    }
    default: return list(text, next, Number(line));
  }
}

function list(text, start, count) {
  const found = [];
  let at = start;
  while (found.length < count) {
    const one = value(text, at);
    if (!one) return null;
    found.push(one[0]);
    at = one[1];
  }
  return [found, at];
}

class Redis {
  constructor(address) {
    [this.host, this.port] = address.split(':');
    this.waiting = [];
    this.text = '';
  }

  connect() {
    const socket = net.connect(Number(this.port), this.host);
    socket.setEncoding('latin1');
    socket.setTimeout(3000, () => this.waiting.length && socket.destroy(new Error('Redis does not answer')));
    socket.on('data', (data) => this.take(data));
    socket.on('error', (error) => this.drop(error));
    socket.on('close', () => this.drop(new Error('Redis closed the connection')));
    this.socket = socket;
  }

  take(data) {
    this.text += data;
    for (let one = value(this.text, 0); this.text && one; one = this.text && value(this.text, 0)) {
      this.text = this.text.slice(one[1]);
      const { resolve, reject } = this.waiting.shift();
      (one[0] instanceof Error ? reject : resolve)(one[0]);
    }
  }

  drop(error) {
    this.socket = null;
    this.text = '';
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  ask(...words) {
    return new Promise((resolve, reject) => {
      if (!this.socket) this.connect();
      this.waiting.push({ resolve, reject });
      this.socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('')}`);
    });
  }
}

module.exports = { Redis };
