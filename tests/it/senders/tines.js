// Runs the actions of a Tines story as Tines documents its formulas: a value that begins with = is a formula, <<...>> in a
// text is one too. Standard input: {story, event, credential, resource}. Standard output: the request.
const { createHmac } = require('node:crypto');
const { story, event, credential, resource } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const FUNCTIONS = {
  TO_JSON: (value) => JSON.stringify(value),
  UNIX_TIMESTAMP: () => Math.floor(Date.now() / 1000),
  HMAC_SHA256: (text, secret) => createHmac('sha256', secret).update(text).digest('hex'),
};
const known = { ...FUNCTIONS, receive_alert: event, CREDENTIAL: { quarantine_bridge: credential }, RESOURCE: { quarantine_bridge_url: resource } };

const formula = (code) => new Function(...Object.keys(known), `return (${code});`)(...Object.values(known));
const evaluate = (value) => {
  if (Array.isArray(value)) return value.map(evaluate);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, evaluate(v)]));
  if (typeof value !== 'string') return value;
  if (value.startsWith('=')) return formula(value.slice(1));
  return value.replace(/<<(.*?)>>/gs, (_, code) => String(formula(code)));
};

let request;
story.agents.forEach((agent, n) => {
  if (n > 0 && !story.links.some((it) => it.sourceIdentifier === n - 1 && it.receiverIdentifier === n)) {
    throw new Error(`${agent.name} is not connected`);
  }
  if (agent.type === 'eventTransformation') {
    known[agent.name.toLowerCase().replaceAll(' ', '_')] = evaluate(agent.options.payload);
  } else if (agent.type === 'httpRequest') {
    if ('content_type' in agent.options) throw new Error('with content_type Tines writes the JSON anew');
    const { url, method, headers, payload } = evaluate(agent.options);
    request = { url, method, headers, body: payload };
  }
});
console.log(JSON.stringify(request));
