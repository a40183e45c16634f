/** A chart: a line that ends in a point, and rings for what is measured now and then. */
/** @import { Over, Table } from './tables.js' */
import { onPaletteChange, palette } from './palette.js'
import uPlot from './uplot.js'
import * as words from './words.js'

const FONT = 'ui-sans-serif, system-ui, sans-serif'
/** In CSS pixels of a page whose text has the usual size; a projector's page is larger. */
const NARROW = 520
const HEIGHTS = { narrow: 210, wide: 280 }
/** Rings closer than this to each other become a line. */
const RING_SPACE = 9
/** Steps of an axis of time: seconds, minutes, hours, and days at last. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400, 172_800, 604_800]

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
  /** @type {Over} */
  #over = 'samples'
  #dense = false
  #drawn = ''

  /** @param {HTMLElement} box @param {Look} look */
  constructor(box, look) {
    this.#box = box
    this.#look = look
    new ResizeObserver(() => this.#fit()).observe(box)
    onPaletteChange(() => this.#rebuild())
  }

  /** @param {Table} table @param {Over} over */
  show(table, over) {
    const last = table.x.length - 1
    const mark = [over, table.x.length, table.x[last], ...table.series.map((values) => values[last])].join(' ')
    if (mark === this.#drawn) return
    this.#drawn = mark
    this.#table = table
    const same = over === this.#over && this.#dense === this.#isDense()
    this.#over = over
    if (this.#plot && same) this.#plot.setData(this.#data())
    else this.#rebuild()
  }

  #data() {
    return /** @type {uPlot.AlignedData} */ ([this.#table.x, ...this.#table.series])
  }

  #height() {
    const scale = textScale()
    return Math.round((this.#box.clientWidth < NARROW * scale ? HEIGHTS.narrow : HEIGHTS.wide) * scale)
  }

  /** Whether the rings of this table would touch each other. */
  #isDense() {
    const rings = this.#table.series.at(-1)?.filter(words.known).length ?? 0
    return rings * RING_SPACE * textScale() > this.#box.clientWidth - 60
  }

  #fit() {
    const width = this.#box.clientWidth
    if (width === 0) return
    if (this.#plot && this.#dense === this.#isDense()) this.#plot.setSize({ width, height: this.#height() })
    else this.#rebuild()
  }

  #rebuild() {
    const width = this.#box.clientWidth
    this.#plot?.destroy()
    this.#plot = null
    if (width === 0 || this.#table.x.length === 0) return
    this.#dense = this.#isDense()
    // The key beside it shows what is drawn.
    this.#box.dataset.dense = String(this.#dense)
    this.#plot = new uPlot(this.#options(width), this.#data(), this.#box)
  }

  /** @param {number} width @returns {uPlot.Options} */
  #options(width) {
    const colours = palette()
    const { format, floor } = this.#look
    const scale = textScale()
    const time = this.#over === 'seconds'
    const axis = {
      stroke: colours.muted,
      font: `${Math.round(12 * scale)}px ${FONT}`,
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
        {
          ...axis,
          grid: { show: false },
          space: 80 * scale,
          size: 32 * scale,
          values: (_, ticks) => ticks.map(time ? words.moment : words.short),
          ...(time ? { incrs: TIME_STEPS } : {}),
        },
        { ...axis, size: 52 * scale, space: 44 * scale, values: (_, ticks) => ticks.map(format) },
      ],
      series: [{}, ...this.#look.lines.map((kind) => series(kind, colours, this.#dense))],
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

/** How much larger than usual the page's text is. */
function textScale() {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1
}

/** @param {'line' | 'rings'} kind @param {import('./palette.js').Palette} colours @param {boolean} dense
 * @returns {uPlot.Series} */
function series(kind, colours, dense) {
  if (kind === 'line') {
    return { stroke: colours.ink, width: 1.5, spanGaps: true, points: { show: false } }
  }
  if (dense) return { stroke: colours.accent, width: 2, spanGaps: true, points: { show: false } }
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
