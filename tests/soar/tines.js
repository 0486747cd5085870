// Runs a Tines story with as much of Tines as the kit uses; what it does not know is an error. Written from Tines' documentation.
// Standard input: {story, event, credential, resource}. Standard output: what the last transformation says.
const { createHash } = require('node:crypto');
const { story, event, credential, resource } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const FUNCTIONS = {
  SHA256: (text) => createHash('sha256').update(text).digest('hex'),
  DEFAULT: (value, otherwise) => value ?? otherwise,
  IF: (condition, then, otherwise) => (condition ? then : otherwise),
  MATCH: (text, regex) => new RegExp(regex).test(text ?? ''),
};
// Each action's event, by the name under which formulas know it.
const known = { receive_alert: event, CREDENTIAL: { quarantine_bridge: credential }, RESOURCE: { quarantine_bridge_url: resource } };

// What is not there is null, as Tines has it.
function formula(code) {
  const quiet = code.replace(/("(?:[^"\\]|\\.)*")|\.(?=[a-z_])/gi, (found, text) => text ?? '?.');
  const scope = new Proxy({ ...FUNCTIONS, ...known }, { has: () => true, get: (all, name) => (name === Symbol.unscopables ? undefined : all[name] ?? null) });
  return new Function('scope', `with (scope) { return (${quiet}); }`)(scope) ?? null;
}

function evaluate(value) {
  if (Array.isArray(value)) return value.map(evaluate);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, evaluate(v)]));
  if (typeof value !== 'string') return value;
  if (value.startsWith('=')) return formula(value.slice(1));
  return value.replace(/<<(.*?)>>/g, (_, code) => String(formula(code) ?? ''));
}

function is_retried(status, ranges) {
  return ranges.some((range) => {
    const [from, to] = range.split('-').map(Number);
    return status >= from && status <= (to ?? from);
  });
}

async function request(options) {
  const { url, method, headers, payload, content_type, timeout, disable_redirect_follow, retry_on_status } = evaluate(options);
  if (disable_redirect_follow !== 'true') throw new Error('a redirect would take the token elsewhere');
  if (payload !== undefined && content_type !== 'json') throw new Error('JSON');
  // What waits for its users waits a second here.
  headers.Prefer = headers.Prefer.replace('wait=20', 'wait=1');
  const body = payload === undefined ? undefined : JSON.stringify(payload);
  if (body) headers['Content-Type'] = 'application/json; charset=utf-8';
  // Tines tries more often; these are enough to see that it does.
  for (let left = 4; ; left -= 1) {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body, redirect: 'manual', signal: AbortSignal.timeout(timeout * 1000) });
    const said = await answer.text();
    const is_json = /json/.test(answer.headers.get('content-type') ?? '');
    if (left > 1 && is_retried(answer.status, retry_on_status)) continue;
    return { status: answer.status, body: is_json ? JSON.parse(said) : said };
  }
}

const RULES = {
  regex: (value, wanted) => new RegExp(wanted).test(value),
  '!regex': (value, wanted) => !new RegExp(wanted).test(value),
  'field<value': (value, wanted) => Number(value) < Number(wanted),
  'field>=value': (value, wanted) => Number(value) >= Number(wanted),
};

// Returns what an action emits; undefined if nothing.
async function run({ type, options }) {
  switch (type) {
    case 'Agents::EventTransformationAgent':
      if (options.mode === 'delay') return { seconds: options.seconds };
      if (options.mode !== 'message_only') throw new Error(`no mode ${options.mode}`);
      return evaluate(options.payload);
    case 'Agents::HTTPRequestAgent':
      return request(options);
    case 'Agents::TriggerAgent': {
      // Sixty looks are for its users; a dozen will do here.
      const passes = ({ type: kind, path, value }) => RULES[kind](evaluate(path), value === '60' ? '12' : value);
      return options.rules.every(passes) ? {} : undefined;
    }
    default:
      throw new Error(`no action ${type}`);
  }
}

async function main() {
  const waiting = [0];
  let last;
  while (waiting.length > 0) {
    const n = waiting.shift();
    const agent = story.agents[n];
    const emitted = await run(agent);
    if (emitted === undefined) continue;
    known[agent.name.toLowerCase().replaceAll(' ', '_')] = emitted;
    const receivers = story.links.filter(({ source }) => source === n).map(({ receiver }) => receiver);
    if (receivers.length === 0) last = emitted;
    waiting.push(...receivers);
  }
  return last;
}

main().then(
  (told) => console.log(JSON.stringify(told)),
  (error) => console.log(JSON.stringify({ error: String(error.message) })),
);
