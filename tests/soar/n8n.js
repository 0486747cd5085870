// Runs an n8n workflow with as much of n8n as the kit uses; what it does not know is an error. Written from n8n's documentation.
// Standard input: {workflow, item, credential: {name, value}, url}. Standard output: the last node's item, or {error}.
const { createHash } = require('node:crypto');
const { workflow, item, credential, url } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const nodes = Object.fromEntries(workflow.nodes.map((node) => [node.name, node]));
const first = {};
const runs = {};

// "=..." is an expression; {{ }} in it is JavaScript. One that is nothing else keeps its type.
const evaluate = (text, $json, $runIndex) => {
  if (typeof text !== 'string' || !text.startsWith('=')) return text;
  const $ = (name) => ({ first: () => ({ json: first[name] }) });
  const one = (code) => new Function('$json', '$runIndex', '$', `return (${code});`)($json, $runIndex, $);
  const whole = text.match(/^=\{\{((?:(?!\}\}).)*)\}\}$/s);
  return whole ? one(whole[1]) : text.slice(1).replace(/\{\{(.*?)\}\}/gs, (_, code) => String(one(code)));
};

async function request({ parameters, maxTries, retryOnFail, credentials }, $json) {
  const { method, sendHeaders, headerParameters, sendBody, contentType, rawContentType, body, options } = parameters;
  if (parameters.genericAuthType !== 'httpHeaderAuth' || !credentials.httpHeaderAuth) throw new Error('the token is a credential');
  if (options.redirect.redirect.followRedirects) throw new Error('a redirect would take the token elsewhere');
  if (sendBody && contentType !== 'raw') throw new Error('the body is sent as it was written');
  // What waits half a minute for its users waits a second here.
  const shorter = (value) => (value === 'wait=30' ? 'wait=1' : value);
  const headers = sendHeaders ? headerParameters.parameters.map(({ name, value }) => [name, shorter(evaluate(value, $json))]) : [];
  headers.push([credential.name, credential.value]);
  if (sendBody) headers.push(['content-type', rawContentType]);
  for (let left = retryOnFail ? maxTries : 1; ; left -= 1) {
    try {
      const text = sendBody ? evaluate(body, $json) : undefined;
      const asked = { method, headers, body: text, redirect: 'manual', signal: AbortSignal.timeout(options.timeout) };
      const answer = await fetch(evaluate(parameters.url, $json), asked);
      const said = await answer.text();
      if (answer.status >= 300) throw new Error(`${answer.status}: ${said}`);
      return /json/.test(answer.headers.get('content-type') ?? '') ? JSON.parse(said) : { data: said };
    } catch (error) {
      if (left <= 1) throw error;
    }
  }
}

async function run(node, $json, $runIndex) {
  const { parameters } = node;
  switch (`${node.type} ${node.typeVersion}`) {
    case 'n8n-nodes-base.executeWorkflowTrigger 1.1':
      return Object.fromEntries(parameters.workflowInputs.values.map(({ name }) => [name, item[name]]));
    case 'n8n-nodes-base.code 2': {
      if (parameters.mode !== 'runOnceForEachItem') throw new Error('once for each item');
      const code = parameters.jsCode.replace("'https://bridge.corp.example'", JSON.stringify(url)).replace('looks = 60', 'looks = 12');
      return new Function('$json', code)($json).json;
    }
    case 'n8n-nodes-base.crypto 1':
      if (parameters.action !== 'hash' || parameters.type !== 'SHA256') throw new Error('a SHA256');
      return { ...$json, [parameters.dataPropertyName]: createHash('sha256').update(evaluate(parameters.value, $json)).digest('hex') };
    case 'n8n-nodes-base.httpRequest 4.2':
      return request(node, $json);
    case 'n8n-nodes-base.wait 1.1':
    case 'n8n-nodes-base.if 2.2':
      return $json;
    default:
      throw new Error(`no node ${node.type} ${node.typeVersion}`);
  }
}

// Which of its outputs a node's item goes to.
function output(node, $json, $runIndex) {
  if (node.type !== 'n8n-nodes-base.if') return 0;
  const [{ leftValue, operator }] = node.parameters.conditions.conditions;
  const value = evaluate(leftValue, $json, $runIndex);
  if (operator.operation !== 'true' || typeof value !== 'boolean') throw new Error('a condition is true or false');
  return value ? 0 : 1;
}

async function main() {
  let node = workflow.nodes.find(({ type }) => type === 'n8n-nodes-base.executeWorkflowTrigger');
  let $json = {};
  for (;;) {
    const $runIndex = runs[node.name] ?? 0;
    runs[node.name] = $runIndex + 1;
    $json = await run(node, $json, $runIndex);
    first[node.name] ??= $json;
    const next = workflow.connections[node.name]?.main[output(node, $json, $runIndex)];
    if (next === undefined) return $json;
    if (next.length !== 1) throw new Error(`${node.name} is not connected`);
    node = nodes[next[0].node];
  }
}

main().then(
  (told) => console.log(JSON.stringify(told)),
  (error) => console.log(JSON.stringify({ error: String(error.message) })),
);
