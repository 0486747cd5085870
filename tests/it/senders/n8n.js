// Runs the nodes of an n8n workflow as n8n does: the Code node's text, the Crypto node, and the HTTP node's expressions.
// Standard input: {workflow, item, secret}. Standard output: the request.
const { createHmac } = require('node:crypto');
const { workflow, item, secret } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const node = (type) => {
  const found = workflow.nodes.filter((it) => it.type === `n8n-nodes-base.${type}`);
  if (found.length !== 1) throw new Error(`one node of type ${type} is needed`);
  return found[0];
};

// "=..." is an expression; {{ }} in it is JavaScript with $json.
const evaluate = (text, $json) => {
  if (typeof text !== 'string' || !text.startsWith('=')) return text;
  const one = (code) => new Function('$json', `return (${code});`)($json);
  return text.slice(1).replace(/\{\{(.*?)\}\}/gs, (_, code) => String(one(code)));
};

// The nodes in the order in which they are connected.
const order = ['executeWorkflowTrigger', 'code', 'crypto', 'httpRequest'].map(node);
for (let n = 1; n < order.length; n += 1) {
  const to = workflow.connections[order[n - 1].name].main[0].map((it) => it.node);
  if (to.length !== 1 || to[0] !== order[n].name) throw new Error(`${order[n].name} is not connected`);
}

const [, code, crypto, http] = order;
if (code.parameters.mode !== 'runOnceForEachItem') throw new Error('the Code node runs once for each item');
let $json = new Function('$json', code.parameters.jsCode)(item).json;
const value = evaluate(crypto.parameters.value, $json);
const mac = createHmac(crypto.parameters.type, secret).update(value).digest(crypto.parameters.encoding);
$json = { ...$json, [crypto.parameters.dataPropertyName]: mac };
const { parameters } = http;
if (parameters.contentType !== 'raw' || !parameters.sendBody || !parameters.sendHeaders) throw new Error('raw body and headers');
const headers = { 'content-type': parameters.rawContentType };
for (const { name, value: text } of parameters.headerParameters.parameters) headers[name] = evaluate(text, $json);
console.log(JSON.stringify({ method: parameters.method, url: parameters.url, headers, body: evaluate(parameters.body, $json) }));
