/** From a run's figures to the columns that charts draw: over samples, or over time. */
/** @import { HistoryPoint } from './answers.d.ts' */
/** @import { EpochRecord } from './types.d.ts' */
import uPlot from './uplot.js'
import * as words from './words.js'

/** A speed is a mean over at least so long, and over such a part of a long run. */
const WINDOW_SECONDS = 10
const WINDOWS = 60

/** @typedef {'samples' | 'seconds'} Over */
/** @typedef {{ x: number[], series: (number | null)[][] }} Table */
/** @typedef {(readonly (number | null | undefined)[])[]} Points */
/** Points of a curve are samples, loss and, on the dashboard, seconds.
 * @typedef {{ curve: (readonly number[])[], records: EpochRecord[] }} Course */

/** Training loss, and validation loss where it was measured. @param {Course} course @param {Over} over @returns {Table} */
export function lossTable({ curve, records }, over) {
  const place = over === 'samples' ? 0 : 2
  const line = curve.map((point) => [point[place], point[1]])
  const seen = placed(records, over).map(([x, record]) => [x, record.validation_loss])
  return joined(line, seen)
}

/** What the run is judged by, next to its loss, with training samples and those of validation.
 * @param {EpochRecord[]} records @param {Over} over
 * @returns {{ name: string, table: Table, accuracy: boolean } | null} */
export function metricTable(records, over) {
  const accuracy = records.some(
    (record) => words.known(record.validation_accuracy) || words.known(record.training_accuracy),
  )
  const places = placed(records, over)
  const training = places.map(([x, record]) => [x, accuracy ? record.training_accuracy : record.training_mae])
  const validation = places.map(([x, record]) => [x, accuracy ? record.validation_accuracy : record.validation_mae])
  const table = joined(training, validation)
  if (table.x.length === 0) return null
  return { name: accuracy ? 'Accuracy' : 'Mean absolute error', accuracy, table }
}

/** Two curves in one table. @param {Points} training @param {Points} validation @returns {Table} */
function joined(training, validation) {
  const parts = [columns(training), columns(validation)]
  if (parts.every(([x]) => x.length === 0)) return { x: [], series: [] }
  const [x, ...series] = uPlot.join(parts)
  return { x: Array.from(x), series: series.map((values) => Array.from(values, (value) => value ?? null)) }
}

/** Samples per second over time, as means over some seconds: units are merged whole, so that the speed of a moment
 * leaps. @param {HistoryPoint[]} history @returns {Table} */
export function speedTable(history) {
  const window = Math.max(WINDOW_SECONDS, (history.at(-1)?.[0] ?? 0) / WINDOWS)
  /** @type {{ end: number, samples: number }[]} The stretches of the window. */
  const open = []
  let [before, samples, start] = [0, 0, 0]
  const [x, y] = columns(
    history.map(([end, speed]) => {
      open.push({ end, samples: speed * (end - before) })
      samples += speed * (end - before)
      before = end
      for (let first = open[0]; first && open.length > 1 && end - start > window; first = open[0]) {
        if (end - first.end < window / 2) break
        samples -= first.samples
        start = first.end
        open.shift()
      }
      return [end, end > start ? Math.max(0, samples) / (end - start) : null]
    }),
  )
  return { x, series: x.length > 0 ? [y] : [] }
}

/** Each epoch's record with where it stands: the samples of the run up to its end, or the time.
 * @param {(EpochRecord & { end?: number })[]} records @param {Over} over @returns {[number, EpochRecord][]} */
function placed(records, over) {
  let end = 0
  return records.map((record) => {
    // Who keeps only some of the records has written down where each one stands.
    end = record.end ?? end + record.samples
    return [over === 'samples' ? end : record.seconds, record]
  })
}

/** uPlot wants columns, ascending in x, each x once; what is no number is left out.
 * @param {Points} points @returns {[number[], number[]]} */
function columns(points) {
  /** @type {Map<number, number>} */
  const byX = new Map()
  for (const [x, y] of points) if (words.known(x) && words.known(y)) byX.set(x, y)
  const sorted = Array.from(byX).sort(([a], [b]) => a - b)
  return [sorted.map(([x]) => x), sorted.map(([, y]) => y)]
}
