// See docs/browser-client.md.

/** @typedef {"todo" | "in_progress" | "done" | "skipped"} Status */
/** @typedef {{row_version: number, kind: string, by: string, at: string, from: Status, to: Status}} Change */
/** @typedef {{currentState: {status: Status, row_version: number}, changes: Change[]}} Conflict */

export class OnboardingError extends Error {
  name = "OnboardingError";
}

const stillWanted = ({ changes }) => !changes.some(({ from, to }) => from !== to && /done|skipped/.test(to));

async function send(url, token, wanted, seen, intent) {
  for (let tries = 0, left = 15e3, unsure, conflict; ; tries++) {
    const key = token.call ? await token() : token;
    if (!/^[!-~]+\s*$/.test(key ?? "")) throw new TypeError("This token cannot be sent");
    let answer, now, status = 0, t0 = Date.now(), wait = Math.random() * Math.min(200 * 2 ** tries, 2e3);
    try {
      const reply = await fetch(url, {
        method: wanted ? "PATCH" : "GET",
        headers: { Authorization: "Bearer " + key, "Content-Type": "application/json", "X-Retry-Attempt": tries },
        body: wanted && JSON.stringify({ status: wanted, row_version: seen }),
        signal: AbortSignal.timeout(1e4),
      });
      status = reply.status;
      wait += 1e3 * reply.headers.get("Retry-After") || 0;
      answer = await reply.json();
      now = answer.currentState;
      if (reply.ok) return { ...answer, conflict };
    } catch (error) {
      answer = status ? {} : error;
    }
    if (now) {
      conflict = answer;
      const ours = (it) => it.kind === "event" && it.to === wanted && it.row_version === seen + 1;
      if (now.status === wanted || (unsure && answer.changes.some(ours))) return { step: now, conflict };
      seen = now.row_version;
    }
    unsure = !now && !!wanted && (unsure || !/^4/.test(status));
    left -= Date.now() - t0 + wait;
    // 200, 409, 412: cut off
    if (left < 0 || !(now ? await intent(answer) : /^(0|200|40[89]|412|429|50[234])$/.test(status)))
      throw Object.assign(new OnboardingError(answer.message ?? "HTTP " + status), {
        status, answer, unsure, conflict,
      });
    await new Promise((go) => setTimeout(go, wait));
  }
}

/** @param {{baseUrl: string, token: string | (() => Promise<string>), userId?: string}} options */
export function createClient({ baseUrl, token, userId }) {
  const url = baseUrl.replace(/\/$/, "") + "/api/onboarding/steps";
  const query = userId ? "?user_id=" + encodeURIComponent(userId) : "";
  return {
    steps: () => send(url + query, token),
    /** @param {{intent?: (conflict: Conflict) => any, rowVersion?: number}} [options] */
    async updateStep(stepId, /** @type {Status} */ status, { intent = stillWanted, rowVersion } = {}) {
      const step = url + "/" + encodeURIComponent(stepId) + query;
      const now = rowVersion ? {} : await send(step, token);
      return now.status === status ? { step: now } : send(step, token, status, rowVersion ?? now.row_version, intent);
    },
  };
}
