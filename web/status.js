/** Asks the coordinator how the run stands, every few seconds, and notices when it no longer answers. */
/** @import { Reach, Status } from './types.d.ts' */

const VISIBLE_MS = 2000
const HIDDEN_MS = 5000
const SLOWEST_MS = 10_000
const TIMEOUT_MS = 8000
/** After so much silence the coordinator counts as gone. */
const GONE_MS = 20_000

export class StatusPoller {
  /** @type {Status | null} The last answer. */
  latest = null
  #token
  #onChange
  #failures = 0
  #refused = false
  #lastAnswer = performance.now()
  #asking = false
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer

  /** @param {string} token @param {() => void} onChange */
  constructor(token, onChange) {
    this.#token = token
    this.#onChange = onChange
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.ask()
    })
  }

  /** How the coordinator answers. A laptop that wakes up gets a few tries before the word "gone".
   * @returns {Reach} */
  get reach() {
    if (this.#refused) return 'invalid'
    if (this.#failures > 0) {
      const silence = performance.now() - this.#lastAnswer
      return this.#failures >= 3 && silence >= GONE_MS ? 'gone' : 'silent'
    }
    return this.latest ? 'good' : 'unknown'
  }

  /** Asks now, and from then on regularly. */
  ask() {
    if (this.#asking || this.#refused) return
    clearTimeout(this.#timer)
    this.#asking = true
    void this.#askOnce().finally(() => {
      this.#asking = false
      this.#onChange()
      this.#timer = setTimeout(() => this.ask(), this.#pause())
    })
  }

  async #askOnce() {
    const wasOver = this.latest?.state === 'ended'
    try {
      const response = await fetch('/v1/status', {
        headers: { Authorization: `Bearer ${this.#token}` },
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      if (response.status === 401) {
        this.#refused = true
        return
      }
      if (!response.ok) throw new Error(`status ${response.status}`)
      const answer = /** @type {Status} */ (await response.json())
      this.latest = { ...answer, curve: answer.curve ?? [], records: answer.records ?? [] }
      this.#failures = 0
      this.#lastAnswer = performance.now()
    } catch {
      // A coordinator that leaves after its run has said all that it had to say.
      if (!wasOver) this.#failures += 1
    }
  }

  #pause() {
    if (this.#failures > 0) return Math.min(SLOWEST_MS, VISIBLE_MS * 2 ** (this.#failures - 1))
    // After the end there is no news; but the coordinator serves the page while somebody asks.
    if (this.latest?.state === 'ended') return SLOWEST_MS
    return document.hidden ? HIDDEN_MS : VISIBLE_MS
  }
}
