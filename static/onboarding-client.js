// The onboarding API for a host's page: docs/browser-client.md.

/** @typedef {"todo" | "in_progress" | "done" | "skipped"} Status */
/** @typedef {{kind: "event" | "release", by: string, at: string, from: Status, to: Status}} Change */
/** @typedef {{currentState: {status: Status, row_version: number}, changes: Change[]}} Conflict */

const TRIES = 6;
const TIMEOUT_MS = 10_000;
const PAUSE_MS = 200;
const LONGEST_MS = 30_000;
const PASSING = [0, 200, 429, 502, 503, 504]; // 0: no answer; 200: cut off

/** Has `status`, `answer`, and the last `conflict` that the save met. */
export class OnboardingError extends Error {}

/** Not if somebody finished or skipped it meanwhile. @param {Conflict} conflict */
const stillWanted = ({ changes }) => !changes.some(({ kind, to }) => kind === "event" && /done|skipped/.test(to));

/** @param {{baseUrl: string, token: string | (() => Promise<string>), userId?: string}} options */
export function createClient({ baseUrl, token, userId }) {
  const root = baseUrl.replace(/\/$/, "") + "/api/onboarding/steps";
  const query = userId ? "?user_id=" + encodeURIComponent(userId) : "";

  async function send(path, save, intent) {
    for (let attempt = 0, conflict; ; attempt += 1) {
      let answer, status = 0, wait = Math.random() * PAUSE_MS * 2 ** attempt;
      try {
        const given = typeof token === "function" ? await token() : token;
        const response = await fetch(root + path + query, {
          method: save ? "PATCH" : "GET",
          headers: { Authorization: `Bearer ${given}`, "Content-Type": "application/json", "X-Retry-Attempt": attempt },
          body: save && JSON.stringify(save),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        status = response.status;
        wait = Math.max(wait, 1_000 * response.headers.get("Retry-After") || 0);
        answer = await response.json();
        if (response.ok) return { ...answer, conflict };
      } catch (error) {
        answer = { message: error.message };
      }
      const now = answer.currentState;
      if (now) conflict = answer;
      if (now && now.status === save.status) return { step: now, conflict };
      const again = attempt + 1 < TRIES && wait <= LONGEST_MS;
      if (!again || !(now ? await intent(answer) : PASSING.includes(status)))
        throw Object.assign(new OnboardingError(answer.message ?? `HTTP ${status}`), { status, answer, conflict });
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (now) save.row_version = now.row_version;
    }
  }

  return {
    steps: () => send(""),
    /** @param {{intent?: (conflict: Conflict) => unknown, rowVersion?: number}} [options] */
    async updateStep(stepId, /** @type {Status} */ status, { intent = stillWanted, rowVersion } = {}) {
      const path = "/" + encodeURIComponent(stepId);
      const row_version = rowVersion ?? (await send(path)).row_version;
      return send(path, { status, row_version }, intent);
    },
  };
}
