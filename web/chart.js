/** The charts: loss over samples with its validation points, and the validation metric of each epoch. */
/** @import { EpochRecord, Status } from './types.d.ts' */
import { onPaletteChange, palette } from './palette.js'
import uPlot from './uplot.js'
import * as words from './words.js'

const FONT = '12px ui-sans-serif, system-ui, sans-serif'
const NARROW = 520

/** @typedef {{ x: number[], series: (number | null)[][] }} Table */
/** @typedef {{
 *   format: (value: number) => string,
 *   lines: ('line' | 'rings')[],
 *   floor: number | null,
 * }} Look */

/** A chart that follows the width of its box and the colours of the page. */
export class Chart {
  #box
  #look
  /** @type {uPlot | null} */
  #plot = null
  /** @type {Table} */
  #table = { x: [], series: [] }
  #drawn = ''

  /** @param {HTMLElement} box @param {Look} look */
  constructor(box, look) {
    this.#box = box
    this.#look = look
    new ResizeObserver(() => this.#fit()).observe(box)
    onPaletteChange(() => this.#rebuild())
  }

  /** @param {Table} table */
  show(table) {
    const last = table.x.length - 1
    const mark = [table.x.length, table.x[last], ...table.series.map((values) => values[last])].join(' ')
    if (mark === this.#drawn) return
    this.#drawn = mark
    this.#table = table
    if (this.#plot) this.#plot.setData(this.#data())
    else this.#rebuild()
  }

  #data() {
    return /** @type {uPlot.AlignedData} */ ([this.#table.x, ...this.#table.series])
  }

  #height() {
    return this.#box.clientWidth < NARROW ? 210 : 280
  }

  #fit() {
    const width = this.#box.clientWidth
    if (width === 0) return
    if (this.#plot) this.#plot.setSize({ width, height: this.#height() })
    else this.#rebuild()
  }

  #rebuild() {
    const width = this.#box.clientWidth
    this.#plot?.destroy()
    this.#plot = null
    if (width === 0 || this.#table.x.length === 0) return
    this.#plot = new uPlot(this.#options(width), this.#data(), this.#box)
  }

  /** @param {number} width @returns {uPlot.Options} */
  #options(width) {
    const colours = palette()
    const { format, floor } = this.#look
    const axis = {
      stroke: colours.muted,
      font: FONT,
      grid: { stroke: colours.rule, width: 1 },
      ticks: { show: false },
    }
    return {
      width,
      height: this.#height(),
      padding: [12, 18, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        // From the first sample on, so that charts side by side agree.
        x: { time: false, range: (_plot, _min, max) => [0, max > 0 ? max : 1] },
        y: { range: (_plot, min, max) => room(floor ?? min, max, floor === null) },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 80, size: 32, values: (_, ticks) => ticks.map(words.short) },
        { ...axis, size: 52, space: 44, values: (_, ticks) => ticks.map(format) },
      ],
      series: [{}, ...this.#look.lines.map((kind) => series(kind, colours))],
      hooks: { draw: [(plot) => markLast(plot, colours.accent)] },
    }
  }
}

/** The range of an axis with some air above, and below where nothing bounds it.
 * @param {number} min @param {number} max @param {boolean} below @returns {[number, number]} */
function room(min, max, below) {
  const low = Math.min(min, max)
  const span = max - low || Math.abs(max) * 0.1 || 1
  return [below || low > min ? low - span * 0.15 : low, Math.max(min, max) + span * 0.12]
}

/** @param {'line' | 'rings'} kind @param {import('./palette.js').Palette} colours @returns {uPlot.Series} */
function series(kind, colours) {
  if (kind === 'line') {
    return { stroke: colours.ink, width: 1.5, spanGaps: true, points: { show: false } }
  }
  return {
    stroke: colours.accent,
    width: 1.5,
    dash: [3, 4],
    spanGaps: true,
    points: { show: true, size: 8, width: 2, stroke: colours.accent, fill: colours.paper },
  }
}

/** The tip of the training line, as the needle of an instrument. @param {uPlot} plot @param {string} colour */
function markLast(plot, colour) {
  const xs = plot.data[0]
  const ys = plot.data[1]
  if (!ys || plot.series[1]?.points?.show === true) return
  let last = ys.length - 1
  while (last >= 0 && ys[last] == null) last -= 1
  const x = xs[last]
  const y = ys[last]
  if (x == null || y == null) return
  const { ctx } = plot
  ctx.save()
  ctx.fillStyle = colour
  ctx.beginPath()
  ctx.arc(plot.valToPos(x, 'x', true), plot.valToPos(y, 'y', true), 4.5 * devicePixelRatio, 0, 2 * Math.PI)
  ctx.fill()
  ctx.restore()
}

/** @param {Status} status @returns {Table} */
export function lossTable(status) {
  const curve = status.curve.filter(([samples, loss]) => words.known(samples) && words.known(loss))
  const seen = placed(status.records).filter(([, record]) => words.known(record.validation_loss))
  const training = columns(curve)
  const validation = columns(seen.map(([end, record]) => [end, Number(record.validation_loss)]))
  if (training[0].length === 0 && validation[0].length === 0) return { x: [], series: [] }
  const [x, ...series] = uPlot.join([training, validation])
  return { x: Array.from(x), series: series.map((values) => Array.from(values, (value) => value ?? null)) }
}

/** What the run is judged by, next to its loss.
 * @param {EpochRecord[]} records @returns {{ name: string, table: Table, accuracy: boolean } | null} */
export function metricTable(records) {
  const accuracy = records.some((record) => words.known(record.validation_accuracy))
  const value = (/** @type {EpochRecord} */ record) =>
    accuracy ? record.validation_accuracy : record.validation_mae
  const seen = placed(records).filter(([, record]) => words.known(value(record)))
  if (seen.length === 0) return null
  const [x, y] = columns(seen.map(([end, record]) => [end, Number(value(record))]))
  const name = accuracy ? 'Validation accuracy' : 'Validation mean absolute error'
  return { name, accuracy, table: { x, series: [y] } }
}

/** Each epoch's record with where it stands: the samples of the run up to its end.
 * @param {EpochRecord[]} records @returns {[number, EpochRecord][]} */
function placed(records) {
  let end = 0
  return records.map((record) => [(end += record.samples), record])
}

/** uPlot wants columns, ascending in x, each x once.
 * @param {[number, number][]} points @returns {[number[], number[]]} */
function columns(points) {
  const byX = new Map(points)
  const sorted = Array.from(byX).sort(([a], [b]) => a - b)
  return [sorted.map(([x]) => x), sorted.map(([, y]) => y)]
}
