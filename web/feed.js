/** What the coordinator has said of a run so far, put together from the stream; bounded, however long a run is. */
/** @import { CurvePoint, HistoryPoint, LiveEvent, Tick, View, Whole } from './answers.d.ts' */
/** @import { EpochRecord } from './types.d.ts' */

/** More epochs than a chart can show: of the older half every second one goes. */
const RECORDS_MAX = 2000
const EVENTS_MAX = 200
/** More points than the coordinator ever sends. */
const POINTS_MAX = 1000

/** An epoch with the samples of the run up to its end. @typedef {EpochRecord & { end: number }} Placed */

export class Feed {
  /** @type {View | null} */
  view = null
  /** @type {Placed[]} */
  records = []
  /** @type {CurvePoint[]} */
  curve = []
  /** @type {HistoryPoint[]} */
  history = []
  /** @type {LiveEvent[]} The newest last. */
  events = []
  /** When the view came. */
  at = 0

  /** @param {string} name @param {any} data */
  apply(name, data) {
    if (name === 'whole') this.#whole(data)
    // After a stream broke, the first that comes is a whole again.
    else if (name === 'tick' && this.view !== null) this.#tick(data)
  }

  /** @param {Whole} whole */
  #whole(whole) {
    this.#look(whole.view)
    this.records = []
    this.#addRecords(whole.records ?? [])
    this.curve = points([], whole.curve)
    this.history = points([], whole.history)
    this.events = (whole.events ?? []).slice(-EVENTS_MAX)
  }

  /** @param {Tick} tick */
  #tick(tick) {
    this.#look(tick.view)
    this.#addRecords(tick.records ?? [])
    this.curve = points(this.curve, tick.curve)
    this.history = points(this.history, tick.history)
    const last = this.events.at(-1)?.number ?? -1
    const news = (tick.events ?? []).filter((event) => event.number > last)
    if (news.length > 0) this.events = [...this.events, ...news].slice(-EVENTS_MAX)
  }

  /** @param {View} view */
  #look(view) {
    this.view = view
    this.at = performance.now()
  }

  /** @param {EpochRecord[]} news */
  #addRecords(news) {
    let { epoch, end } = this.records.at(-1) ?? { epoch: 0, end: 0 }
    for (const record of news) {
      // Epochs are evaluated in their order; what comes again is known.
      if (record.epoch <= epoch) continue
      // Of a long run the coordinator leaves epochs out; they had as many samples as this one.
      end += record.samples * (record.epoch - epoch)
      epoch = record.epoch
      this.records.push({ ...record, end })
    }
    if (this.records.length > RECORDS_MAX) {
      const half = this.records.length >> 1
      this.records = this.records.filter((_, index) => index >= half || index % 2 === 0)
    }
  }
}

/** A list after a tick that may hold all of it, the part from an index on, or nothing of it.
 * @template T @param {T[]} before @param {T[] | { from: number, points: T[] } | null | undefined} news @returns {T[]} */
function points(before, news) {
  if (!news) return before
  const all = Array.isArray(news) ? news : [...before.slice(0, news.from), ...news.points]
  return all.slice(-POINTS_MAX)
}
