/** The stream of a run's figures: read with the token in a header, opened again whenever it breaks. */
/** @import { Api } from './api.js' */
/** @import { Reach } from './types.d.ts' */
import { Refusal } from './api.js'

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 10_000
/** The coordinator says something every five seconds; after so long a silence the connection is dead. */
const SILENCE_MS = 16_000
/** Longest line of a well-meaning coordinator; more is never kept. */
const LINE_CHARACTERS_MAX = 8 << 20

/** @typedef {{
 *   onEvent: (name: string, data: any) => void,
 *   onRole: (role: string) => void,
 *   onChange: () => void,
 * }} Hooks */

export class Live {
  /** @type {Reach} */
  reach = 'unknown'
  /** Why the token is of no use here; empty while it is. */
  refusal = ''
  /** What the coordinator said instead of a stream, if it said anything. */
  trouble = ''
  /** `performance.now()` of the next attempt; null while connected. @type {number | null} */
  until = null
  #api
  #hooks
  #attempts = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  /** @type {AbortController | null} */
  #abort = null
  #closed = false

  /** @param {Api} api @param {Hooks} hooks */
  constructor(api, hooks) {
    this.#api = api
    this.#hooks = hooks
    // A laptop that wakes up need not wait for its turn.
    addEventListener('online', () => this.#hurry())
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#hurry()
    })
    void this.#read()
  }

  /** Lets the connection go; nothing is read any more. */
  close() {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#abort?.abort()
  }

  #hurry() {
    if (this.until === null || this.#closed) return
    clearTimeout(this.#timer)
    void this.#read()
  }

  async #read() {
    this.until = null
    const abort = new AbortController()
    this.#abort = abort
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS)
    try {
      const response = await this.#api.open('/v1/live', { signal: abort.signal, headers: { Accept: 'text/event-stream' } })
      this.#hooks.onRole(response.headers.get('herd-role') ?? '')
      if (!response.body) throw new Error('an answer without a body')
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      const lines = new Lines((name, data) => {
        this.#attempts = 0
        this.reach = 'good'
        this.trouble = ''
        this.#hooks.onEvent(name, JSON.parse(data))
      })
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        clearTimeout(watchdog)
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS)
        lines.push(value)
      }
    } catch (error) {
      this.trouble = error instanceof Refusal && error.status !== 0 ? error.message : ''
      if (error instanceof Refusal && (error.status === 401 || error.status === 403)) {
        this.reach = 'invalid'
        this.refusal = error.message
      }
    }
    clearTimeout(watchdog)
    abort.abort()
    this.#again()
  }

  #again() {
    if (this.#closed) return
    if (this.reach !== 'invalid') {
      this.#attempts += 1
      this.reach = this.#attempts > 4 ? 'gone' : 'silent'
      const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#attempts - 1)) * (0.75 + Math.random() / 2)
      this.until = performance.now() + delay
      this.#timer = setTimeout(() => void this.#read(), delay)
    }
    this.#hooks.onChange()
  }
}

/** Puts the pieces of a `text/event-stream` together. */
export class Lines {
  #onEvent
  #rest = ''
  #name = 'message'
  #data = ''

  /** @param {(name: string, data: string) => void} onEvent */
  constructor(onEvent) {
    this.#onEvent = onEvent
  }

  /** @param {string} text */
  push(text) {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > LINE_CHARACTERS_MAX) throw new Error('a line without end')
    for (const line of lines) this.#line(line.replace(/\r$/, ''))
  }

  /** @param {string} line */
  #line(line) {
    if (line === '') {
      if (this.#data !== '') this.#onEvent(this.#name, this.#data)
      this.#name = 'message'
      this.#data = ''
    } else if (line.startsWith('event:')) {
      this.#name = line.slice(6).trim()
    } else if (line.startsWith('data:')) {
      this.#data += line.slice(5).trimStart()
    }
  }
}
