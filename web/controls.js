/** What whoever holds the admin token can do to a run; every order answers with a sentence. */
/** @import { Api } from './api.js' */
/** @import { View } from './answers.d.ts' */
import { box, element, setText } from './dom.js'
import * as words from './words.js'

/** @typedef {{ title: string, text: string, yes: string }} Question */

export class Controls {
  #api
  #paused = false
  #busy = false
  #over = false
  /** What was typed last and is not changed yet stays, whatever the coordinator says. */
  #typed = false

  /** @param {Api} api */
  constructor(api) {
    this.#api = api
    box('pause').addEventListener('click', () => void this.#order(this.#paused ? 'resume' : 'pause'))
    box('checkpoint').addEventListener('click', () => void this.#order('checkpoint'))
    box('stop').addEventListener('click', () => void this.#stop())
    const rate = element('rate', HTMLInputElement)
    rate.addEventListener('input', () => {
      this.#typed = true
    })
    element('rate-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#changeRate(rate)
    })
  }

  /** @param {View} view */
  show(view) {
    this.#paused = view.state === 'paused'
    this.#over = view.state === 'ended'
    setText(box('pause'), this.#paused ? 'Resume' : 'Pause')
    const rate = element('rate', HTMLInputElement)
    const base = words.figure(view.base_learning_rate)
    if (!this.#typed && document.activeElement !== rate && rate.value !== base) rate.value = base
    const now = words.figure(view.learning_rate)
    setText(box('rate-hint'), now === base ? 'From the next lease on.' : `By its schedule the next lease gets ${now}.`)
    this.#enable()
  }

  #enable() {
    for (const id of ['pause', 'checkpoint', 'rate-set', 'stop']) {
      element(id, HTMLButtonElement).disabled = this.#over || this.#busy
    }
  }

  /** @param {HTMLInputElement} rate */
  async #changeRate(rate) {
    const value = Number(rate.value.trim().replace(',', '.'))
    if (!(value > 0) || !Number.isFinite(value)) {
      this.#say('A learning rate is a number above 0, such as 0.01.')
      rate.focus()
      return
    }
    if (await this.#order('learning-rate', { learning_rate: value })) this.#typed = false
  }

  async #stop() {
    const sure = await ask({
      title: 'Stop the run?',
      text: 'Workers are sent home, the best model is kept. The run can go on later from its last checkpoint with herd train --resume.',
      yes: 'Stop the run',
    })
    if (sure) await this.#order('stop')
  }

  /** Removes a worker, after a question. @param {number} worker @param {string} name */
  async remove(worker, name) {
    const sure = await ask({
      title: 'Remove this worker?',
      text: `${name} loses its connection and gives its work back. What it has contributed stays.`,
      yes: 'Remove it',
    })
    if (sure) await this.#order('kick', { worker })
  }

  /** @param {string} what @param {object} [body] @returns {Promise<boolean>} whether it was done */
  async #order(what, body) {
    if (this.#busy) return false
    this.#busy = true
    this.#enable()
    try {
      const done = await this.#api.order(`/v1/admin/${what}`, body)
      // A name at the start stays as it is written.
      this.#say(what === 'kick' ? done : words.sentence(done, 300))
      return true
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error))
      return false
    } finally {
      this.#busy = false
      this.#enable()
    }
  }

  /** @param {string} text */
  #say(text) {
    setText(box('done'), text)
    setText(box('announcer'), text)
  }
}

/** A question that must be answered before something happens. @param {Question} question @returns {Promise<boolean>} */
function ask({ title, text, yes }) {
  const dialog = element('sure', HTMLDialogElement)
  setText(box('sure-title'), title)
  setText(box('sure-text'), text)
  setText(box('sure-yes'), yes)
  dialog.showModal()
  box('sure-no').focus()
  return new Promise((resolve) => {
    const answer = new AbortController()
    const end = (/** @type {boolean} */ sure) => {
      answer.abort()
      dialog.close()
      resolve(sure)
    }
    const { signal } = answer
    box('sure-yes').addEventListener('click', () => end(true), { signal })
    box('sure-no').addEventListener('click', () => end(false), { signal })
    // Escape says no.
    dialog.addEventListener('cancel', () => end(false), { signal })
  })
}
