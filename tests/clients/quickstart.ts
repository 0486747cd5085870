// The quickstart by a generated TypeScript client: ask, wait, read, list, approve, cancel. Run by generated.py.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { env: Record<string, string> };

type Wanted = components["schemas"]["RequestedAction"];

const client = (token: string) => createClient<paths>({ baseUrl: process.env.BRIDGE_URL, headers: { authorization: `Bearer ${token}` } });
const asker = client(process.env.ASKER_TOKEN);
const person = client(process.env.PERSON_TOKEN);

function must(holds: boolean, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

function wanted(alert_id: string, mode: Wanted["mode"]): Wanted {
  return {
    alert_id,
    severity: "high",
    occurred_at: new Date().toISOString(),
    machine: { id: "6f1d0b7c2a94e8d35b60c1f7a8e2934d5c7b1a09" },
    file: { sha1: `${alert_id.slice(-1)}`.repeat(4) + "a0b3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4" },
    mode,
    note: "by a generated client",
  };
}

async function ask(body: Wanted) {
  const header = { Prefer: "wait=30", "Idempotency-Key": `"${body.alert_id}"` };
  const { data, error, response } = await asker.POST("/v1/actions", { params: { header }, body });
  must(data !== undefined, error);
  must(response.headers.get("location") === data.status_url, data);
  return data;
}

async function main() {
  // Ask and wait; under the same key the same answer comes again, and nothing is done twice.
  const body = wanted("typescript-1", "enforce");
  const [first, second] = [await ask(body), await ask(body)];
  must(first.state === "succeeded" && first.action?.final === true && first.id === second.id, [first, second]);

  // Read it, and find it in the list.
  const path = { id: first.id };
  const status = await asker.GET("/v1/actions/{id}/status", { params: { path } });
  must(status.response.status === 200 && status.data?.state === "succeeded", status);
  const shown = await person.GET("/v1/actions/{id}", { params: { path } });
  must(shown.data?.machine_action?.status === "Succeeded" && shown.data.requested?.note === body.note, shown);
  const page = await person.GET("/v1/actions", { params: { query: { alert_id: body.alert_id } } });
  must(page.data?.actions.length === 1 && page.data.next_cursor === null, page);

  // One that waits for a person, who approves it.
  const held = await ask(wanted("typescript-2", "approve"));
  must(held.state === "held" && held.action?.final === false, held);
  const holds = held.action.holds.map((hold) => hold.guard);
  const approved = await person.POST("/v1/actions/{id}/approve", { params: { path: { id: held.id } }, body: { holds, reason: "looked at" } });
  must(approved.response.status === 200, approved.error);
  const done = await person.GET("/v1/actions/{id}", { params: { path: { id: held.id }, header: { Prefer: "wait=30" } } });
  must(done.data?.state === "succeeded" && done.data.approvals[0]?.by === "token:person", done);

  // And one that nobody wants any more.
  const unwanted = await ask(wanted("typescript-3", "approve"));
  const cancelled = await person.POST("/v1/actions/{id}/cancel", { params: { path: { id: unwanted.id } }, body: { reason: "a false alarm" } });
  must(cancelled.data?.state === "cancelled" && cancelled.data.cancellation?.by === "token:person", cancelled);

  // What is wrong comes as a problem.
  const refused = await person.POST("/v1/actions/{id}/cancel", { params: { path }, body: { reason: "too late" } });
  must(refused.error?.type === "urn:quarantine-bridge:problem:not-cancellable", refused);
}

void main();
