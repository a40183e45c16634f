/** The two charts of a run's course with their words: its loss, and what it is judged by. */
/** @import { Course, Over } from './tables.js' */
import { Chart } from './chart.js'
import { box, setText, show } from './dom.js'
import { lossTable, metricTable } from './tables.js'
import * as words from './words.js'

export class CourseView {
  #loss = new Chart(box('loss-chart'), { format: words.short, lines: ['line', 'rings'], floor: 0 })
  /** @type {Chart | null} Made once it is known what it shows. */
  #metric = null

  /** @param {Course} course @param {Over} [over] */
  show(course, over = 'samples') {
    const table = lossTable(course, over)
    this.#loss.show(table, over)
    setText(box('loss-words'), lossWords(course))
    this.#showMetric(course, over)
    return table.x.length > 0
  }

  /** @param {Course} course @param {Over} over */
  #showMetric(course, over) {
    const metric = metricTable(course.records, over)
    if (!metric) return
    show(box('metric-figure'), true)
    setText(box('metric-title'), metric.name)
    const format = metric.accuracy ? accuracyTick : words.short
    this.#metric ??= new Chart(box('metric-chart'), { format, lines: ['line', 'rings'], floor: null })
    this.#metric.show(metric.table, over)
    const text = (/** @type {number | null | undefined} */ value) => (metric.accuracy ? words.percent(value, 2) : words.loss(value))
    const [training = [], validation = []] = metric.table.series.map((values) => values.filter(words.known))
    const said = []
    if (validation.length > 0) {
      const best = validation.reduce((a, b) => (metric.accuracy ? Math.max(a, b) : Math.min(a, b)))
      said.push(`On validation data ${text(validation.at(-1))}, at best ${text(best)}.`)
    }
    if (training.length > 0) said.push(`On training data ${text(training.at(-1))}.`)
    setText(box('metric-words'), said.join(' '))
  }
}

/** @param {number} value */
function accuracyTick(value) {
  return `${Number((value * 100).toFixed(2))}\u00a0%`
}

/** The chart for those who do not see it. @param {Course} course */
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
