// Signs with libraries from npm and posts to a running bridge. Called by run.py: node node.mjs URL < secrets in JSON.
import { sign as githubSign } from "@octokit/webhooks-methods";
import { readFileSync } from "node:fs";
import { Webhook as Standard } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as Svix } from "svix";

const [url] = process.argv.slice(2);
const secrets = JSON.parse(readFileSync(0, "utf8"));
let passed = 0;
let failed = 0;

const alert = (id) =>
  JSON.stringify({
    alert_id: id,
    severity: "high",
    title: "A client's own library signed it: ü, 漢, \u{1F512}",
    occurred_at: new Date().toISOString(),
    targets: [{ machine: "1111111111aaaaaaaaaa1111111111aaaaaaaaaa", file: "2222222222bbbbbbbbbb2222222222bbbbbbbbbb" }],
  });

async function check(name, source, wanted, body, headers) {
  const answer = await fetch(`${url}/v1/hooks/${source}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });
  const isRight = answer.status === wanted;
  passed += isRight;
  failed += !isRight;
  console.log(`${isRight ? "ok" : "FAILED"}  ${name}: ${answer.status}${isRight ? "" : `, wanted ${wanted}: ${await answer.text()}`}`);
}

// Old and new secret of the same source: both sign during a rotation, a third does not.
for (const [key, secret, wanted] of [["old", secrets.whsec_old, 202], ["new", secrets.whsec_new, 202], ["foreign", secrets.whsec_foreign, 401]]) {
  const now = new Date();
  const standardBody = alert(`npm-standardwebhooks-${key}`);
  const id = `msg_npm_standard_${key}`;
  await check(`npm standardwebhooks, ${key} secret`, "standard", wanted, standardBody, {
    "webhook-id": id,
    "webhook-timestamp": `${Math.floor(now / 1000)}`,
    "webhook-signature": new Standard(secret).sign(id, now, standardBody),
  });
  const svixBody = alert(`npm-svix-${key}`);
  await check(`npm svix, ${key} secret`, "standard", wanted, svixBody, {
    "svix-id": `msg_npm_svix_${key}`,
    "svix-timestamp": `${Math.floor(now / 1000)}`,
    "svix-signature": new Svix(secret).sign(`msg_npm_svix_${key}`, now, svixBody),
  });
}

const githubBody = alert("npm-github");
await check("npm @octokit/webhooks-methods", "github", 202, githubBody, {
  "x-hub-signature-256": await githubSign(secrets.text, githubBody),
});

const stripeBody = alert("npm-stripe");
const stripe = (secret) => Stripe.webhooks.generateTestHeaderString({ payload: stripeBody, secret });
await check("npm stripe", "stripe", 202, stripeBody, { "stripe-signature": stripe(secrets.text) });
await check("npm stripe, foreign secret", "stripe", 401, stripeBody, { "stripe-signature": stripe("another secret, long enough") });

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
