'use strict';
// Answers for what Debian does not package: Grafana's, Loki's and oauth2-proxy's own end points for health, and a sign-in that nobody has.
const http = require('node:http');

const answers = {
  '/api/health': [200, JSON.stringify({ database: 'ok' })],
  '/ready': [200, 'ready'],
  '/ping': [200, 'OK'],
  '/oauth2/auth': [401, 'Unauthorized'],
};

http.createServer((request, response) => {
  const [status, body] = answers[request.url] || [404, ''];
  response.writeHead(status, { 'Content-Type': body.startsWith('{') ? 'application/json' : 'text/plain' }).end(body);
}).listen(Number(process.argv[2]));
