/** Requests to the coordinator with the token of this tab, and what its refusals mean in words. */
import { clean, sentence } from './words.js'

const TIMEOUT_MS = 15_000

/** An answer that is not what was asked for; the message is for people. */
export class Refusal extends Error {
  /** @param {number} status 0 when there was no answer @param {string} message */
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

export class Api {
  #token

  /** @param {string} token */
  constructor(token) {
    this.#token = token
  }

  /** A request that may take as long as it likes, as a stream does.
   * @param {string} path @param {RequestInit} [options] */
  async open(path, options = {}) {
    const headers = { ...options.headers, Authorization: `Bearer ${this.#token}` }
    const response = await fetch(path, { cache: 'no-store', ...options, headers }).catch((error) => {
      if (error instanceof DOMException && error.name === 'AbortError') throw error
      throw new Refusal(0, 'The coordinator does not answer.')
    })
    if (!response.ok) throw new Refusal(response.status, await words(response))
    return response
  }

  /** @param {string} path */
  get(path) {
    return this.open(path, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  }

  /** @param {string} path @returns {Promise<any>} */
  async json(path) {
    return (await this.get(path)).json()
  }

  /** Orders something, and gives the coordinator's sentence about it.
   * @param {string} path @param {object} [body] @returns {Promise<string>} */
  async order(path, body = {}) {
    const response = await this.open(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const answer = await response.json().catch(() => ({}))
    return clean(answer.done, 300) || 'Done.'
  }
}

/** @param {Response} response */
async function words(response) {
  const text = await response.text().catch(() => '')
  return sentence(text, 300) || `The coordinator answered with status ${response.status}.`
}
