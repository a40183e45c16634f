/** Puts a feed on the dashboard: head, figures, charts, workers and what happened. */
/** @import { Feed } from './feed.js' */
/** @import { Live } from './live.js' */
/** @import { LiveEvent, View } from './answers.d.ts' */
/** @import { Notice } from './types.d.ts' */
/** @import { Over, Table } from './tables.js' */
import { Chart } from './chart.js'
import { CourseView } from './course.js'
import { box, element, figure, setRows, setText, show } from './dom.js'
import { EpochTable } from './epochs.js'
import { FleetTable, reasons } from './fleet-table.js'
import { Motif } from './motif.js'
import { showNotices } from './notices.js'
import { speedTable } from './tables.js'
import * as words from './words.js'

const STATES = {
  waiting: 'Waiting for workers',
  training: 'Training',
  paused: 'Paused',
  ended: 'The run is over',
}
/** The last ones are read; older ones are in the run's folder. */
const EVENTS_SHOWN = 100

export class DashboardView {
  /** @type {Over} */
  over = 'samples'
  #motif = new Motif(element('motif', HTMLCanvasElement))
  #course = new CourseView()
  #speed = new Chart(box('speed-chart'), { format: words.short, lines: ['line'], floor: 0 })
  #epochs = new EpochTable()
  #fleet
  #spoken = ''
  #events = -1

  /** @param {(worker: number, name: string) => void} onRemove */
  constructor(onRemove) {
    this.#fleet = new FleetTable(box('fleet-head'), box('fleet-body'), onRemove)
  }

  /** @param {boolean} admin */
  set admin(admin) {
    this.#fleet.admin = admin
  }

  /** @param {Feed} feed @param {Live | null} live */
  render(feed, live) {
    const { view } = feed
    const asks = live === null || live.reach === 'invalid'
    show(box('ask'), asks)
    show(box('board'), view !== null && !asks)
    show(box('below'), view !== null && !asks)
    this.#state(view, live)
    showNotices(notices(view, live))
    if (!view || asks) return
    this.#head(view, live)
    this.#headline(view)
    this.#course.show(feed, this.over)
    const speeds = speedTable(feed.history)
    this.#speed.show(speeds, 'seconds')
    setText(box('speed-words'), speedWords(view, speeds))
    this.#showEvents(feed.events)
    this.#fleet.show(view.workers)
    setText(box('fleet-words'), fleetWords(view))
    setRows(box('units'), units(view))
    setRows(box('traffic'), traffic(view))
    setRows(box('setting'), setting(view))
    this.#epochs.show(feed.records)
    setText(box('foot'), `Herd ${words.clean(view.version_of_herd, 20)} trains one neural network on whatever computers turn up.`)
  }

  /** @param {View | null} view @param {Live | null} live */
  #state(view, live) {
    const state = stateLine(view, live)
    box('state').dataset.state = state.key
    setText(box('state'), state.words)
    document.body.dataset.state = state.key
    // Only a change of state is read out; the figures that tick are not.
    if (state.words !== this.#spoken) setText(box('announcer'), state.words)
    this.#spoken = state.words
  }

  /** @param {View} view @param {Live | null} live */
  #head(view, live) {
    const name = words.clean(view.name, 120) || 'A run without a name'
    setText(box('run-name'), name)
    setText(box('kicker'), view.state === 'ended' ? 'A trained network' : 'A network in training')
    const part = progress(view)
    const title = `${Math.floor(part * 100)}% · \u2068${words.clean(view.name, 40)}\u2069 · Herd`
    if (document.title !== title) document.title = title
    const line = progressLine(view, part)
    figure('progress', line, part)
    box('progress').setAttribute('aria-valuenow', String(Math.floor(part * 100)))
    box('progress').setAttribute('aria-valuetext', line)
    const here = view.state === 'ended' ? '' : `${words.many(view.workers_connected, 'worker')} at it`
    figure('workers', here, view.workers_connected)
    this.#motif.show({
      workers: view.workers_connected,
      own: 0,
      progress: part,
      epochs: view.epochs,
      moving: view.state === 'training' && live?.reach === 'good',
    })
  }

  /** @param {View} view */
  #headline(view) {
    const score = headline(view)
    setText(box('score-title'), score.title)
    figure('score', score.text, score.value)
    setText(box('score-words'), score.words)
    const over = view.state === 'ended'
    const speed = over ? view.mean_samples_per_second : view.samples_per_second
    figure('speed', words.rate(speed), speed)
    figure('samples', words.count(view.samples), view.samples)
    figure('seconds', words.duration(view.seconds), view.seconds)
    figure('left', over ? 'none' : words.duration(view.seconds_left), view.seconds_left)
  }

  /** @param {LiveEvent[]} events */
  #showEvents(events) {
    const newest = events.at(-1)?.number ?? -1
    if (newest === this.#events) return
    this.#events = newest
    const items = events.slice(-EVENTS_SHOWN).reverse().map((event) => {
      const item = document.createElement('li')
      item.dataset.kind = event.kind
      const time = document.createElement('span')
      time.textContent = words.duration(event.seconds)
      const text = document.createElement('bdi')
      text.textContent = words.clean(event.text, 200)
      item.append(time, text)
      return item
    })
    box('events').replaceChildren(...items)
  }
}

/** Part of the run that is done, 0 to 1. @param {View} view */
function progress(view) {
  return view.total_samples > 0 ? Math.min(1, Math.max(0, view.samples / view.total_samples)) : 0
}

/** @param {View} view @param {number} part */
function progressLine(view, part) {
  if (view.state === 'waiting') return 'Not started yet'
  const epoch = `Epoch ${words.count(Math.min(view.epoch, view.epochs))} of ${words.count(view.epochs)}`
  if (view.state === 'paused') return `${epoch} · ${Math.floor(part * 100)}\u00a0% · paused: no new work is handed out`
  const left = view.state === 'training' && words.known(view.seconds_left) ? ` · ${words.duration(view.seconds_left)} left` : ''
  return `${epoch} · ${Math.floor(part * 100)}\u00a0%${left}`
}

/** @param {View | null} view @param {Live | null} live @returns {{ key: string, words: string }} */
function stateLine(view, live) {
  if (live === null) return { key: 'idle', words: 'No token yet' }
  if (live.reach === 'invalid') return { key: 'blocked', words: 'Not admitted' }
  if (view?.state === 'ended') return { key: 'ended', words: STATES.ended }
  if (live.reach === 'silent') return { key: 'lost', words: 'Connection lost' }
  if (live.reach === 'gone') return { key: 'gone', words: 'The coordinator does not answer' }
  if (!view) return { key: 'connecting', words: 'Connecting' }
  if (view.state === 'waiting' && view.workers_connected < view.min_workers) {
    return { key: 'waiting', words: `Waiting for workers: ${view.workers_connected} of ${view.min_workers} are here` }
  }
  return { key: view.state, words: STATES[view.state] ?? words.clean(view.state, 30) }
}

/** @param {View | null} view @param {Live | null} live @returns {Map<string, Notice>} */
function notices(view, live) {
  /** @type {Map<string, Notice>} */
  const notes = new Map()
  const until = live?.until ?? undefined
  if (live?.reach === 'silent' || live?.reach === 'gone') {
    if (view?.state === 'ended') {
      notes.set('closed', { text: 'The coordinator has closed after its run. These are the last figures that it sent.' })
    } else {
      const silence = view ? 'The connection to the coordinator was lost. What you see is the last that it said.' : 'The coordinator does not answer.'
      const text = live.trouble || silence
      notes.set('lost', { text, until })
    }
  }
  if (view?.state === 'ended' && view.reason) notes.set('reason', { text: words.sentence(view.reason) })
  return notes
}

/** The one figure that says how good the network is.
 * @param {View} view @returns {{ title: string, text: string, value: number | null, words: string }} */
function headline({ test, best, classes, samples, state }) {
  if (words.known(test?.accuracy)) {
    return { title: 'Accuracy on test data', text: words.percent(test.accuracy, 2), value: test.accuracy, words: bestWords(best) }
  }
  if (words.known(test?.mae)) {
    return { title: 'Mean absolute error on test data', text: words.loss(test.mae), value: test.mae, words: bestWords(best) }
  }
  if (best && words.known(best.value)) {
    const accuracy = classes && /accuracy/.test(best.metric)
    const text = accuracy ? words.percent(best.value, 2) : words.loss(best.value)
    const title = best.metric.charAt(0).toUpperCase() + words.clean(best.metric, 40).slice(1)
    return { title, text, value: best.value, words: `In epoch ${words.count(best.epoch)}, the best so far: this network is kept.` }
  }
  const hint = state === 'ended' ? '' : 'The first figures of quality come with the first epoch.'
  return { title: 'Samples trained', text: words.count(samples), value: samples, words: hint }
}

/** @param {View['best']} best */
function bestWords(best) {
  if (!best) return ''
  const value = /accuracy/.test(best.metric) ? words.percent(best.value, 2) : words.loss(best.value)
  return `The network of epoch ${words.count(best.epoch)}: ${words.clean(best.metric, 40)} ${value}.`
}

/** @param {View} view @param {Table} speeds */
function speedWords(view, { series: [speeds] }) {
  if (!speeds) return 'Comes once samples have been merged.'
  // The chart's points are means of some seconds: a run that has just begun may lie above all of them.
  const most = speeds.filter(words.known).reduce((a, b) => Math.max(a, b), view.mean_samples_per_second ?? 0)
  return `${words.rate(view.mean_samples_per_second)} on average, ${words.rate(most)} at its best.`
}

/** @param {View} view */
function fleetWords(view) {
  const unseen = view.workers_total - view.workers.length
  const more = unseen > 0 ? `; ${words.count(unseen)} more are not listed` : ''
  return `${words.count(view.workers_connected)} connected, ${words.count(view.workers_total)} in all${more}`
}

/** @param {View} view @returns {[string, string, string?][]} */
function units(view) {
  const { units: counts, leases } = view
  return [
    ['Units done', words.count(counts.done), 'units-done'],
    ['Units out with workers', words.count(counts.out), 'units-out'],
    ['Units waiting for a worker', words.count(counts.open)],
    ['Units arrived, not merged yet', words.count(counts.arrived)],
    ['Leased again', words.count(counts.again), 'units-again'],
    ['Leases past their deadline', words.count(leases.expired)],
    ['Leases given back', words.count(leases.released)],
    ['Leases made needless by another', words.count(leases.duplicate)],
    ['Updates refused', reasons(view.rejected), 'refused'],
    ['Samples given up', reasons(view.dropped), 'dropped'],
  ]
}

/** @param {View} view @returns {[string, string, string?][]} */
function traffic(view) {
  const { checkpoint } = view
  return [
    ['From workers', words.bytes(view.bytes_up), 'bytes-up'],
    ['To workers', words.bytes(view.bytes_down), 'bytes-down'],
    ['Versions of the network', words.count(view.versions), 'versions'],
    ['Samples leased again', words.count(view.samples_re_leased)],
    ['Last checkpoint', checkpoint ? `number ${words.count(checkpoint.number)}, ${words.ago(checkpoint.seconds_ago)}` : 'none yet', 'last-checkpoint'],
    ['Starts of the coordinator', words.count(view.incarnation), 'incarnation'],
    ['Dashboards open', words.count(view.viewers)],
  ]
}

/** @param {View} view @returns {[string, string, string?][]} */
function setting(view) {
  return [
    ['Mode', words.clean(view.mode, 30)],
    ['Learning rate', words.figure(view.learning_rate), 'learning-rate'],
    ['Batch size', words.count(view.batch_size)],
    ['Parameters', words.count(view.parameters), 'parameters'],
    ['Samples of all epochs', words.count(view.total_samples)],
    ['Workers to begin with', words.count(view.min_workers)],
    ['Folder', words.clean(view.run, 80), 'run-folder'],
  ]
}
