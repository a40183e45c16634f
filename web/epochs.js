/** The table of a run's epochs. */
/** @import { EpochRecord } from './types.d.ts' */
import { box, cell, element, show } from './dom.js'
import * as words from './words.js'

/** More rows than anybody reads would slow the page down; the latest are shown. */
const MOST_ROWS = 200

/** @typedef {{ head: string, value: (record: EpochRecord) => number | null, text: (value: number) => string }} Column */

/** @type {Column[]} */
const COLUMNS = [
  { head: 'Epoch', value: (record) => record.epoch, text: words.count },
  { head: 'Samples', value: (record) => record.samples, text: words.count },
  { head: 'Training loss', value: (record) => record.training_loss, text: words.loss },
  { head: 'Validation loss', value: (record) => record.validation_loss, text: words.loss },
  { head: 'Training accuracy', value: (record) => record.training_accuracy, text: (value) => words.percent(value, 2) },
  { head: 'Validation accuracy', value: (record) => record.validation_accuracy, text: (value) => words.percent(value, 2) },
  { head: 'Training error', value: (record) => record.training_mae, text: words.loss },
  { head: 'Validation error', value: (record) => record.validation_mae, text: words.loss },
]

export class EpochTable {
  #mark = ''
  #details = element('epochs-details', HTMLDetailsElement)
  /** @type {EpochRecord[]} */
  #records = []

  constructor() {
    this.#details.addEventListener('toggle', () => this.#fill())
  }

  /** @param {EpochRecord[]} records */
  show(records) {
    show(this.#details, records.length > 0)
    this.#records = records
    this.#fill()
  }

  /** A table that is folded away is not kept up: with short epochs it would be most of the page's work. */
  #fill() {
    const records = this.#records
    if (!this.#details.open) return
    const mark = `${records.length} ${records.at(-1)?.epoch} ${records.at(-1)?.samples}`
    if (mark === this.#mark) return
    this.#mark = mark
    const columns = COLUMNS.filter((column) => records.some((record) => words.known(column.value(record))))
    box('epochs-head').replaceChildren(...columns.map((column) => cell('th', column.head)))
    const rows = records.slice(-MOST_ROWS).map((record) => {
      const row = document.createElement('tr')
      row.append(
        ...columns.map((column) => {
          const value = column.value(record)
          return cell('td', words.known(value) ? column.text(value) : '–')
        }),
      )
      return row
    })
    box('epochs-body').replaceChildren(...rows)
  }
}
