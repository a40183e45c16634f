/** The table of a run's workers; its rows are kept and changed, so that focus and selection survive. */
/** @import { LiveWorker } from './answers.d.ts' */
import { cell, setText } from './dom.js'
import * as words from './words.js'

/** @typedef {{ head: string, key: string, text: (worker: LiveWorker) => string }} Column */

const STATES = { training: 'training', idle: 'waiting for work', away: 'connection lost', gone: 'has left' }
const CLIENTS = { native: 'native program', browser: 'browser tab', other: 'other program' }

/** @type {Column[]} */
const COLUMNS = [
  { head: 'Worker', key: 'name', text: (worker) => words.clean(worker.name, 60) || `worker ${worker.number}` },
  { head: 'Now', key: 'state', text: (worker) => STATES[worker.state] ?? words.clean(worker.state, 20) },
  { head: 'Samples/s', key: 'speed', text: (worker) => (worker.state === 'gone' ? '–' : words.rate(worker.samples_per_second)) },
  { head: 'Share', key: 'share', text: (worker) => words.share(worker.share) },
  { head: 'Samples', key: 'samples', text: (worker) => words.count(worker.samples) },
  { head: 'Merged', key: 'merged', text: (worker) => words.count(worker.merged) },
  { head: 'Staleness', key: 'staleness', text: (worker) => (words.known(worker.staleness) ? worker.staleness.toFixed(1) : '–') },
  { head: 'Busy', key: 'busy', text: (worker) => words.percent(worker.busy, 0) },
  { head: 'Last seen', key: 'seen', text: (worker) => words.ago(worker.seen_seconds_ago) },
  { head: 'Refused', key: 'rejected', text: (worker) => reasons(worker.rejected) },
]

export class FleetTable {
  #head
  #body
  #onRemove
  #admin = false
  /** @type {Map<number, HTMLTableRowElement>} */
  #rows = new Map()

  /** @param {HTMLElement} head @param {HTMLElement} body @param {(worker: number, name: string) => void} onRemove */
  constructor(head, body, onRemove) {
    this.#head = head
    this.#body = body
    this.#onRemove = onRemove
    this.#makeHead()
  }

  /** With a last column that removes a worker, or without. @param {boolean} admin */
  set admin(admin) {
    if (admin === this.#admin) return
    this.#admin = admin
    this.#makeHead()
    for (const row of this.#rows.values()) row.remove()
    this.#rows.clear()
  }

  #makeHead() {
    const heads = COLUMNS.map((column) => cell('th', column.head))
    if (this.#admin) {
      const last = cell('th', '')
      last.append(Object.assign(document.createElement('span'), { className: 'unseen', textContent: 'Remove' }))
      heads.push(last)
    }
    for (const head of heads) head.setAttribute('role', 'columnheader')
    this.#head.replaceChildren(...heads)
  }

  /** @param {LiveWorker[]} workers */
  show(workers) {
    const there = new Set(workers.map((worker) => worker.number))
    for (const [number, row] of this.#rows) {
      if (there.has(number)) continue
      row.remove()
      this.#rows.delete(number)
    }
    workers.forEach((worker, place) => {
      const row = this.#rows.get(worker.number) ?? this.#make(worker)
      this.#fill(row, worker)
      if (this.#body.children[place] !== row) this.#body.insertBefore(row, this.#body.children[place] ?? null)
    })
  }

  /** @param {LiveWorker} worker */
  #make({ number }) {
    const row = document.createElement('tr')
    row.setAttribute('role', 'row')
    row.dataset.worker = String(number)
    for (const { head, key } of COLUMNS) {
      const made = cell('td', '')
      made.setAttribute('role', 'cell')
      made.dataset.key = key
      // Where a row is a card, each figure carries its own name.
      made.dataset.head = head
      if (key === 'name') made.append(document.createElement('bdi'), document.createElement('small'))
      row.append(made)
    }
    if (this.#admin) row.append(this.#button(number))
    this.#rows.set(number, row)
    return row
  }

  /** @param {number} number */
  #button(number) {
    const made = cell('td', '')
    made.setAttribute('role', 'cell')
    made.dataset.key = 'remove'
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Remove'
    button.addEventListener('click', () => {
      const name = button.closest('tr')?.querySelector('bdi')?.textContent ?? ''
      this.#onRemove(number, name)
    })
    made.append(button)
    return made
  }

  /** @param {HTMLTableRowElement} row @param {LiveWorker} worker */
  #fill(row, worker) {
    if (row.dataset.state !== worker.state) row.dataset.state = worker.state
    COLUMNS.forEach((column, index) => {
      const target = /** @type {HTMLElement} */ (row.children[index])
      const text = column.text(worker)
      if (column.key !== 'name') {
        setText(target, text)
        return
      }
      const [name, device] = /** @type {HTMLElement[]} */ (Array.from(target.children))
      if (name) setText(name, text)
      if (device) setText(device, `${CLIENTS[worker.client] ?? CLIENTS.other}, ${words.clean(worker.device, 60) || 'device not known yet'}`)
    })
    const share = /** @type {HTMLElement | null} */ (row.querySelector('[data-key="share"]'))
    share?.style.setProperty('--share', String(Math.round(Math.min(1, Math.max(0, worker.share)) * 1000) / 1000))
    const remove = row.querySelector('button')
    if (remove) {
      remove.disabled = worker.state === 'gone'
      const label = `Remove ${words.clean(worker.name, 60) || `worker ${worker.number}`}`
      if (remove.getAttribute('aria-label') !== label) remove.setAttribute('aria-label', label)
    }
  }
}

/** How often, and why. @param {Record<string, number> | null | undefined} rejected */
export function reasons(rejected) {
  const entries = Object.entries(rejected ?? {}).filter(([, times]) => times > 0)
  if (entries.length === 0) return '0'
  const all = entries.reduce((sum, [, times]) => sum + times, 0)
  if (entries.length === 1) return `${words.count(all)} (${words.clean(entries[0]?.[0], 30)})`
  return `${words.count(all)} (${entries.map(([reason, times]) => `${words.clean(reason, 30)} ${words.count(times)}`).join(', ')})`
}
