// Renders a mustache template as Kibana's webhook connector does: sections, dotted names, values escaped for JSON texts.
// Standard input: {template, view}. Standard output: the text.
const { template, view } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const look = (stack, name) => {
  if (name === '.') return stack[stack.length - 1];
  for (let n = stack.length - 1; n >= 0; n -= 1) {
    const parts = name.split('.');
    if (stack[n] == null || !(parts[0] in Object(stack[n]))) continue;
    return parts.reduce((value, part) => (value == null ? undefined : value[part]), stack[n]);
  }
  return undefined;
};
const escape = (value) => (value == null ? '' : JSON.stringify(String(value)).slice(1, -1));

const render = (text, stack) => {
  const section = /\{\{#([^}]+)\}\}([\s\S]*?)\{\{\/\1\}\}/;
  const match = section.exec(text);
  if (!match) return text.replace(/\{\{([^#/{}]+)\}\}/g, (_, name) => escape(look(stack, name.trim())));
  const value = look(stack, match[1].trim());
  const items = Array.isArray(value) ? value : value ? [value] : [];
  const inner = items.map((item) => render(match[2], [...stack, item])).join('');
  const [before, after] = [text.slice(0, match.index), text.slice(match.index + match[0].length)];
  return render(before, stack) + inner + render(after, stack);
};
process.stdout.write(render(template, [view]));
