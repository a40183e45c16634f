/** One Worker of this page: starts it, starts it again when it breaks, and lets it go in good order. */
/** @import { ActiveState, EndedEvent, Trouble, WorkerCommand, WorkerEvent, StartOptions } from './types.d.ts' */

const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 60_000
/** So long in good health, and earlier failures are forgotten. */
const HEALTHY_MS = 60_000
/** A worker deep in a step gets so long to give its lease back. */
const FAREWELL_MS = 5000

/** @typedef {{
 *   module: WebAssembly.Module,
 *   glue: string,
 *   options: (index: number) => StartOptions,
 *   onEvent: (member: Member, event: Exclude<WorkerEvent, EndedEvent>) => void,
 *   onFailure: (member: Member, reason: string) => void,
 *   onFinal: (member: Member, event: EndedEvent) => void,
 * }} Hooks */

export class Member {
  /** @type {ActiveState | 'lost' | 'restarting' | 'over'} */
  state = 'connecting'
  detail = ''
  /** @type {Trouble | null} */
  trouble = null
  /** Bytes of wasm memory. */
  memory = 0
  /** Samples trained whose fate is still open. */
  pending = 0
  /** Failures in a row. */
  failures = 0
  index
  #hooks
  /** @type {Worker | null} */
  #worker = null
  /** @type {number | null} */
  #healthySince = null
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  /** @type {(() => void) | null} Set while the worker is saying goodbye. */
  #gone = null

  /** @param {number} index @param {Hooks} hooks */
  constructor(index, hooks) {
    this.index = index
    this.#hooks = hooks
    this.#launch()
  }

  /** @param {number} value */
  setDuty(value) {
    this.#post({ type: 'duty', value })
  }

  /** Gives the lease back and ends the worker; resolved when it is gone. @param {string} reason @returns {Promise<void>} */
  stop(reason) {
    clearTimeout(this.#timer)
    if (this.state === 'over' || this.#worker === null) {
      this.#end()
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      this.#gone = resolve
      this.#timer = setTimeout(() => this.#end(), FAREWELL_MS)
      this.#post({ type: 'stop', reason })
    })
  }

  #launch() {
    this.state = 'connecting'
    this.#healthySince = null
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
    this.#worker = worker
    worker.onmessage = (message) => {
      if (worker === this.#worker) this.#hear(/** @type {WorkerEvent} */ (message.data))
    }
    worker.onerror = (event) => {
      event.preventDefault()
      // A worker that could not even be loaded sends a bare event without a message.
      const message = (/** @type {{ message?: string }} */ (event).message ?? '').replace(/^Uncaught (Error: )?/, '')
      if (worker === this.#worker) this.#fail(message || 'it ended without a word, perhaps for lack of memory')
    }
    worker.onmessageerror = () => {
      if (worker === this.#worker) this.#fail('it said something that could not be read')
    }
    const { module, glue, options } = this.#hooks
    this.#post({ type: 'start', module, glue, options: options(this.index) })
  }

  /** @param {WorkerEvent} event */
  #hear(event) {
    if (event.type === 'ended') {
      this.#hearEnd(event)
      return
    }
    if (event.type === 'state') {
      this.state = event.state
      this.detail = event.detail ?? ''
      if (event.state !== 'connecting') {
        // A lost connection that is tried again keeps its note until it is back.
        this.trouble = null
        this.#healthySince ??= performance.now()
      }
    } else if (event.type === 'progress') {
      this.memory = event.memory
      this.pending += event.samples
    } else if (event.type === 'outcome') {
      this.pending = Math.max(0, this.pending - event.samples)
    } else if (event.type === 'lost') {
      this.state = 'lost'
      this.#trouble('lost', event.reason, event.retry_in * 1000)
    }
    this.#hooks.onEvent(this, event)
  }

  /** @param {EndedEvent} event */
  #hearEnd(event) {
    const broken = event.kind === 'device-lost' || event.kind === 'crashed'
    if (broken && this.#gone === null) {
      this.#fail(event.kind === 'device-lost' ? `the device went away: ${event.reason}` : event.reason)
      return
    }
    const leaving = this.#gone !== null
    this.#end()
    if (!leaving) this.#hooks.onFinal(this, event)
  }

  /** The worker broke: a new one takes its place, sooner or later. @param {string} reason */
  #fail(reason) {
    this.#worker?.terminate()
    this.#worker = null
    this.pending = 0
    this.memory = 0
    if (this.#gone !== null) {
      this.#end()
      return
    }
    const healthy = this.#healthySince !== null && performance.now() - this.#healthySince >= HEALTHY_MS
    this.failures = healthy ? 1 : this.failures + 1
    this.state = 'restarting'
    this.#hooks.onFailure(this, reason)
    // The answer to a failure may be to give up.
    if (this.#isOver()) return
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, this.failures - 1))
    this.restartIn(delay * (0.75 + Math.random() / 2), reason)
  }

  /** @param {number} delay in milliseconds @param {string} reason */
  restartIn(delay, reason) {
    clearTimeout(this.#timer)
    this.state = 'restarting'
    this.#trouble('restart', reason, delay)
    this.#timer = setTimeout(() => this.#launch(), delay)
  }

  /** @param {'lost' | 'restart'} kind @param {string} reason @param {number} delay in milliseconds */
  #trouble(kind, reason, delay) {
    const attempt = kind === 'restart' ? this.failures : (this.trouble?.attempt ?? 0) + 1
    this.trouble = { kind, reason, until: performance.now() + delay, attempt }
  }

  #isOver() {
    return this.state === 'over'
  }

  #end() {
    clearTimeout(this.#timer)
    this.#worker?.terminate()
    this.#worker = null
    this.state = 'over'
    this.trouble = null
    this.pending = 0
    this.#gone?.()
    this.#gone = null
  }

  /** @param {WorkerCommand} command */
  #post(command) {
    this.#worker?.postMessage(command)
  }
}
