/** Everything that the page shows, in one place, and what follows from it in words; no DOM here. */
/** @import { Ability, DeviceChoice, Notice, Phase, Reach, Status } from './types.d.ts' */
/** @import { Fleet } from './fleet.js' */
/** @import { Tally } from './tally.js' */
import * as words from './words.js'

/** @typedef {{
 *   phase: Phase,
 *   choice: DeviceChoice,
 *   ability: Ability | null,
 *   reach: Reach,
 *   status: Status | null,
 *   fleet: Fleet | null,
 *   tally: Tally,
 *   error: { title: string, text: string } | null,
 *   background: string,
 *   identity: string,
 *   tab: number | null,
 *   loading: string,
 * }} Situation */

/** Part of the run that is done, 0 to 1. @param {Status | null} status */
export function progress(status) {
  if (!status || !(status.total_samples > 0)) return 0
  return Math.min(1, Math.max(0, status.samples / status.total_samples))
}

/** @param {Status | null} status */
export function progressLine(status) {
  if (!status) return ''
  const part = Math.floor(progress(status) * 100)
  if (status.state === 'waiting') return 'Not started yet'
  const epoch = `Epoch ${words.count(Math.min(status.epoch, status.epochs))} of ${words.count(status.epochs)}`
  return `${epoch} · ${part}\u00a0%`
}

/** @param {Situation} situation */
export function workersLine({ status, fleet }) {
  if (!status || status.state === 'ended') return ''
  return `${words.many(Math.max(status.workers, fleet?.training ?? 0), 'worker')} at it`
}

/** What this tab is doing: a key for the lamp, and words.
 * @param {Situation} situation @returns {{ key: string, words: string }} */
export function stateLine({ phase, fleet, status, loading, reach }) {
  switch (phase) {
    case 'blocked':
      return { key: 'blocked', words: 'Cannot take part' }
    case 'idle':
      if (reach === 'gone') return { key: 'gone', words: 'The coordinator is gone' }
      return { key: 'idle', words: 'Not started' }
    case 'starting':
      return { key: 'preparing', words: loading }
    case 'paused':
      return { key: 'paused', words: 'Paused' }
    case 'stopped':
      return { key: 'stopped', words: 'Stopped' }
    case 'ended':
      return { key: 'ended', words: 'The run is over' }
    default:
      return working(fleet, status)
  }
}

/** The best state of any worker stands for all.
 * @param {Fleet | null} fleet @param {Status | null} status */
function working(fleet, status) {
  const members = fleet?.members ?? []
  const find = (/** @type {string} */ state) => members.find((member) => member.state === state)
  if (find('training')) return { key: 'training', words: 'Training' }
  if (find('waiting')) {
    const short = status?.state === 'waiting' && status.workers < status.min_workers
    const who = short ? `Waiting for more workers: ${status.workers} of ${status.min_workers}` : 'Waiting for work'
    return { key: 'waiting', words: who }
  }
  const preparing = find('preparing')
  if (preparing) {
    const detail = words.clean(preparing.detail, 60)
    return { key: 'preparing', words: detail === '' ? 'Preparing' : `Preparing: ${detail}` }
  }
  if (find('lost')) return { key: 'lost', words: 'Connection lost' }
  if (find('restarting')) return { key: 'restarting', words: 'Starting again' }
  return { key: 'connecting', words: 'Connecting' }
}

/** What computes, and how it compares. @param {Situation} situation */
export function deviceLine({ fleet, ability, choice }) {
  const device = fleet?.device
  if (!device) {
    const measures = choice === 'auto' && ability?.gpu === true && fleet?.fallback === ''
    return { title: measures ? 'Measuring graphics card and processor' : 'Looking at what it can do', detail: '' }
  }
  const workers = fleet.members.length
  const kind = device.kind === 'gpu' ? 'Graphics card' : 'Processor'
  const title = device.kind === 'cpu' && workers > 0 ? `${kind}, ${words.many(workers, 'worker')}` : kind
  const parts = [words.clean(device.name, 80)]
  if (device.kind === 'cpu' && choice === 'auto' && ability?.gpu === false) parts.push(ability.gpuReason.replace(/\.$/, ''))
  if (words.known(device.gpu) && words.known(device.cpu)) {
    parts.push(`Measured: ${words.rate(device.gpu)} steps/s on the graphics card, ${words.rate(device.cpu)} on one processor worker`)
  }
  return { title, detail: parts.filter((part) => part !== '').join('. ') }
}

/** What pressing the button will use. @param {Situation} situation @param {number} cpuWorkers @param {number} cores */
export function beginHint({ ability, choice, reach, status }, cpuWorkers, cores) {
  if (!ability) return 'Looking at what this computer can do…'
  if (reach === 'gone') return 'The coordinator does not answer, so there is nothing to join at the moment.'
  if (!status) return 'Asking the coordinator about the run…'
  const processor = `the processor: ${words.many(cpuWorkers, 'worker')} on ${words.many(cores, 'core')}`
  if (choice === 'cpu' || !ability.gpu) return `Will use ${processor}.`
  if (choice === 'webgpu') return 'Will use the graphics card.'
  return 'Will use the graphics card or the processor, whichever turns out faster here.'
}

/** Everything that the person should know now, the gravest first.
 * @param {Situation} situation @returns {Map<string, Notice>} */
export function notices(situation) {
  const { phase, reach, fleet, ability, choice, background } = situation
  /** @type {Map<string, Notice>} */
  const notes = new Map()
  const active = phase === 'running' || phase === 'starting'
  const reachWords = reachNotice(phase, reach)
  if (reachWords !== '') notes.set(reach, { text: reachWords })
  if (fleet && active) troubleNotices(fleet, notes)
  if (fleet && fleet.fallback !== '' && (active || phase === 'paused')) {
    const text = `The graphics card did not work out, so the processor trains now. What happened: ${words.sentence(fleet.fallback)}`
    notes.set('fallback', { text })
  }
  if (fleet && fleet.turnedAway !== '' && active) {
    notes.set('turned-away', { text: `The coordinator turned a further worker away: ${words.sentence(fleet.turnedAway)}` })
  }
  if (background !== '' && phase === 'running') notes.set('hidden', { text: background })
  // Once it trains, the same is said next to the device.
  if (ability?.wasm && !ability.gpu && choice === 'auto' && phase === 'idle') {
    notes.set('no-webgpu', { text: `This computer takes part with its processor only. ${ability.gpuReason}` })
  }
  return notes
}

/** @param {Phase} phase @param {Reach} reach */
function reachNotice(phase, reach) {
  if (reach === 'gone' && phase === 'ended') return 'The coordinator has closed. These are the last figures that it sent.'
  if (reach === 'gone') {
    return 'The coordinator is gone: it has not answered for a while. What you see is the last that it said. Should it come back, this page goes on by itself.'
  }
  if (reach === 'silent' && phase !== 'ended') return 'The coordinator does not answer at the moment. Asking again.'
  return ''
}

/** Of several workers with one trouble, the one that tries again first speaks.
 * @param {Fleet} fleet @param {Map<string, Notice>} notes */
function troubleNotices(fleet, notes) {
  const troubled = fleet.members.filter((member) => member.trouble !== null)
  const next = (/** @type {'lost' | 'restart'} */ kind) =>
    troubled
      .map((member) => member.trouble)
      .filter((trouble) => trouble?.kind === kind)
      .sort((a, b) => (a?.until ?? 0) - (b?.until ?? 0))[0]
  const lost = next('lost')
  if (lost) {
    notes.set('lost', { text: `The connection to the coordinator was lost. ${words.sentence(lost.reason)}`, until: lost.until })
  }
  const broken = next('restart')
  if (broken) {
    const again = broken.attempt > 1 ? ` That was failure ${broken.attempt} in a row.` : ''
    const text = `A worker in this tab broke down and is started again. ${words.sentence(broken.reason)}${again}`
    notes.set('restart', { text, until: broken.until })
  }
}

/** The last page: heading and a sentence. @param {Situation} situation */
export function thanksWords({ phase, tally, status }) {
  const over = phase === 'ended'
  const why = over && status?.reason ? ` ${words.sentence(status.reason)}` : ''
  if (tally.samples === 0) {
    const title = over ? 'This run is over' : 'Stopped'
    const text = over ? `There is nothing left to train.${why}` : 'Nothing of this tab had been merged yet. Start again whenever you like.'
    return { title, text }
  }
  const part = status && status.samples > 0 ? `, ${words.share(tally.samples / status.samples)} of all that the run has learnt from` : ''
  const given = `Your computer contributed ${words.count(tally.samples)}\u00a0samples in ${words.many(tally.accepted, 'accepted update')}${part}.`
  const next = over ? why || ' The run is over.' : ' The run goes on without it. Start again whenever you like.'
  return { title: 'Thank you', text: given + next }
}

/** @param {Situation} situation */
export function documentTitle(situation) {
  const { phase, status } = situation
  const name = status ? `\u2068${words.clean(status.name, 40)}\u2069 · Herd` : 'Herd'
  if (phase === 'ended') return `Over · ${name}`
  if (phase === 'blocked' || !status) return name
  const part = `${Math.floor(progress(status) * 100)}%`
  if (phase === 'idle' || phase === 'stopped') return `${part} · ${name}`
  return `${part} · ${stateLine(situation).words} · ${name}`
}
