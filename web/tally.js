/** What this tab has contributed since it was opened: it outlives every pause and every restarted worker. */
/** @import { OutcomeEvent, ProgressEvent } from './types.d.ts' */
import { refusal } from './words.js'

const WINDOW_MS = 5000
/** Where a step takes seconds, five of them hold too few events to tell a speed. */
const LONG_WINDOW_MS = 30_000
const ENOUGH_EVENTS = 3

export class Tally {
  /** Samples of merged updates. */
  samples = 0
  /** Samples trained, whatever became of them. */
  trained = 0
  accepted = 0
  /** Updates whose samples somebody else had delivered first. */
  unneeded = 0
  rejected = 0
  /** @type {Map<string, number>} Why updates were refused, in plain words. */
  reasons = new Map()
  /** @type {number | null} */
  loss = null
  /** @type {{ at: number, samples: number }[]} */
  #recent = []
  /** @type {number | null} */
  #since = null

  /** @param {ProgressEvent} event @param {number} now */
  progress(event, now) {
    this.#since ??= now
    this.trained += event.samples
    this.#recent.push({ at: now, samples: event.samples })
    if (typeof event.loss === 'number') this.loss = event.loss
  }

  /** @param {OutcomeEvent} event */
  outcome(event) {
    if (event.merged) {
      this.accepted += 1
      this.samples += event.samples
    } else if (event.reason === 'duplicate') {
      this.unneeded += 1
    } else {
      this.rejected += 1
      const words = refusal(event.reason)
      this.reasons.set(words, (this.reasons.get(words) ?? 0) + 1)
    }
  }

  /** Samples per second of late; null while there is too little to tell. @param {number} now */
  speed(now) {
    if (this.#since === null) return null
    this.#recent = this.#recent.filter((entry) => now - entry.at < LONG_WINDOW_MS)
    const late = this.#recent.filter((entry) => now - entry.at < WINDOW_MS)
    const few = late.length < ENOUGH_EVENTS
    const entries = few ? this.#recent : late
    const span = Math.min(few ? LONG_WINDOW_MS : WINDOW_MS, now - this.#since)
    if (span < 1000) return null
    return entries.reduce((sum, entry) => sum + entry.samples, 0) / (span / 1000)
  }

  /** After a pause the speed is measured afresh. */
  rest() {
    this.#recent = []
    this.#since = null
  }
}
