/** The run itself: charts with their words, figures, and a table of its epochs. */
/** @import { EpochRecord, Status } from './types.d.ts' */
import { Chart, lossTable, metricTable } from './chart.js'
import { box, setRows, setText, show } from './dom.js'
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
  { head: 'Accuracy', value: (record) => record.validation_accuracy, text: (value) => words.percent(value, 2) },
  { head: 'Absolute error', value: (record) => record.validation_mae, text: words.loss },
]

export class RunView {
  #loss = new Chart(box('loss-chart'), { format: words.short, lines: ['line', 'rings'], floor: 0 })
  /** @type {Chart | null} Made once it is known what it shows. */
  #metric = null
  #rows = ''

  /** @param {Status} status */
  show(status) {
    const table = lossTable(status)
    const drawn = table.x.length > 0
    show(box('loss-chart'), drawn)
    show(box('loss-key'), drawn)
    this.#loss.show(table)
    setText(box('loss-words'), lossWords(status))
    this.#showMetric(status)
    setRows(box('run-facts'), facts(status))
    this.#showEpochs(status.records)
  }

  /** @param {Status} status */
  #showMetric(status) {
    const metric = metricTable(status.records)
    show(box('metric-figure'), metric !== null)
    if (!metric) return
    setText(box('metric-title'), metric.name)
    const format = metric.accuracy ? accuracyTick : words.short
    this.#metric ??= new Chart(box('metric-chart'), { format, lines: ['rings'], floor: null })
    this.#metric.show(metric.table)
    const values = metric.table.series[0] ?? []
    const text = (/** @type {number | null | undefined} */ value) => (metric.accuracy ? words.percent(value, 2) : words.loss(value))
    const known = values.filter(words.known)
    const best = metric.accuracy ? Math.max(...known) : Math.min(...known)
    setText(box('metric-words'), `Now ${text(values.at(-1))}, at its best ${text(best)}.`)
  }

  /** @param {EpochRecord[]} records */
  #showEpochs(records) {
    show(box('epochs-details'), records.length > 0)
    const mark = `${records.length} ${records.at(-1)?.samples}`
    if (mark === this.#rows) return
    this.#rows = mark
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

/** @param {'th' | 'td'} kind @param {string} text */
function cell(kind, text) {
  const made = document.createElement(kind)
  if (kind === 'th') made.setAttribute('scope', 'col')
  made.textContent = text
  return made
}

/** @param {number} value */
function accuracyTick(value) {
  return `${Number((value * 100).toFixed(2))}\u00a0%`
}

/** The chart for those who do not see it. @param {Status} status */
function lossWords({ curve, records }) {
  const first = curve[0]
  const last = curve.at(-1)
  if (!first || !last) return 'No loss yet: the first figures come once samples have been trained.'
  const validation = records.findLast((record) => words.known(record.validation_loss))
  const now = `Training loss ${words.loss(last[1])} after ${words.short(last[0])} samples`
  const since = curve.length > 1 ? `, ${words.loss(first[1])} at first` : ''
  const held = validation ? `. On validation data ${words.loss(validation.validation_loss)}` : ''
  return `${now}${since}${held}.`
}

/** @param {Status} status @returns {[string, string, string?][]} */
function facts(status) {
  const over = status.state === 'ended'
  return [
    ['Samples trained', words.count(status.samples), 'run-samples'],
    ['Samples in all', words.count(status.total_samples)],
    ['Samples per second', over ? '–' : words.rate(status.samples_per_second), 'run-speed'],
    ['Time so far', words.duration(status.seconds)],
    ['Parameters', words.count(status.parameters), 'parameters'],
  ]
}
