/** Puts a situation on the page: head, notes, this tab's figures, controls and thanks. */
/** @import { Situation } from './situation.js' */
import { box, element, figure, setRows, setText, show } from './dom.js'
import { Motif } from './motif.js'
import { showNotices } from './notices.js'
import { RunView } from './run-view.js'
import * as say from './situation.js'
import * as words from './words.js'

/** Where the focus goes when a click has hidden the button that was clicked. */
const FOCUS = { running: 'work-title', stopped: 'thanks-title', ended: 'thanks-title' }

/** @typedef {{ cores: number, cpuWorkers: number, cpuMost: number, duty: number }} Settings */

export class Page {
  #motif = new Motif(element('motif', HTMLCanvasElement))
  #run = new RunView()
  #spoken = ''
  #phase = ''

  /** @param {Situation} situation @param {Settings} settings */
  render(situation, settings) {
    this.#head(situation)
    this.#error(situation)
    showNotices(say.notices(situation))
    this.#begin(situation, settings)
    this.#work(situation)
    this.#controls(situation, settings)
    this.#thanks(situation)
    this.#technical(situation)
    if (situation.status) this.#run.show(situation.status)
    show(box('run'), situation.status !== null)
    show(box('title'), situation.status !== null || situation.phase !== 'blocked')
    this.#changePhase(situation.phase)
  }

  /** @param {Situation} situation */
  #head(situation) {
    const { status, fleet, phase } = situation
    const state = say.stateLine(situation)
    box('state').dataset.state = state.key
    setText(box('state'), state.words)
    document.body.dataset.state = state.key
    // Only a change of state is read out; the figures that tick are not.
    if (state.words !== this.#spoken) setText(box('announcer'), state.words)
    this.#spoken = state.words
    const title = say.documentTitle(situation)
    if (document.title !== title) document.title = title
    if (status) {
      const name = words.clean(status.name, 120) || 'A run without a name'
      setText(box('run-name'), name)
      setText(box('kicker'), status.state === 'ended' ? 'A trained network' : 'A network in training')
    }
    const part = say.progress(status)
    figure('progress', say.progressLine(status), status ? part : null)
    box('progress').setAttribute('aria-valuenow', String(Math.floor(part * 100)))
    box('progress').setAttribute('aria-valuetext', say.progressLine(status) || 'unknown')
    figure('workers', say.workersLine(situation), status?.workers ?? null)
    const own = fleet?.training ?? 0
    figure('own', `${words.count(own)} in this tab`, own)
    show(box('own'), own > 0)
    this.#motif.show({
      workers: Math.max(status?.workers ?? 0, own),
      own: phase === 'running' ? (fleet?.members.length ?? 0) : 0,
      progress: part,
      epochs: status?.epochs ?? 0,
      moving: status?.state === 'training' && situation.reach === 'good',
    })
  }

  /** @param {Situation} situation */
  #error({ error }) {
    const section = box('error')
    if (error) {
      setText(box('error-title'), error.title)
      setText(box('error-text'), words.clean(error.text, 600))
    }
    show(section, error !== null)
  }

  /** @param {Situation} situation @param {Settings} settings */
  #begin(situation, settings) {
    const { phase, status, reach, ability } = situation
    const offered = phase === 'idle' || phase === 'stopped'
    show(box('intro'), phase === 'idle')
    show(box('begin'), offered)
    const ready = ability !== null && status !== null && reach !== 'gone'
    element('start', HTMLButtonElement).disabled = !ready
    setText(box('start'), phase === 'stopped' ? 'Start again' : 'Start training')
    setText(box('begin-title'), phase === 'stopped' ? 'Take part again' : 'Take part')
    setText(box('begin-hint'), say.beginHint(situation, settings.cpuWorkers, settings.cores))
  }

  /** @param {Situation} situation */
  #work({ phase, tally, fleet }) {
    show(box('work'), phase === 'starting' || phase === 'running' || phase === 'paused')
    figure('samples', words.count(tally.samples), tally.samples)
    const pending = phase === 'running' ? (fleet?.pending ?? 0) : 0
    figure('pending', pending > 0 ? `and ${words.count(pending)} more on the way` : '', pending)
    const speed = phase === 'running' && fleet && fleet.training > 0 ? tally.speed(performance.now()) : null
    figure('speed', words.rate(speed), speed)
    figure('accepted', words.count(tally.accepted), tally.accepted)
    figure('unneeded', words.count(tally.unneeded), tally.unneeded)
    figure('rejected', words.count(tally.rejected), tally.rejected)
    const reasons = Array.from(tally.reasons, ([reason, times]) => `${reason} (${words.count(times)})`)
    const parts = []
    if (reasons.length > 0) parts.push(`Refused because an update ${words.clean(reasons.join(', '), 300)}.`)
    if (tally.unneeded > 0) parts.push('Not needed: somebody else was faster with the same samples, which is normal.')
    setText(box('reasons'), parts.join(' '))
    show(box('reasons'), parts.length > 0)
  }

  /** @param {Situation} situation @param {Settings} settings */
  #controls(situation, settings) {
    const { phase, fleet, ability, choice } = situation
    show(box('controls'), phase === 'starting' || phase === 'running' || phase === 'paused')
    const device = say.deviceLine(situation)
    setText(box('device'), device.title)
    box('device').dataset.kind = fleet?.device?.kind ?? ''
    setText(box('device-detail'), device.detail)
    setText(box('intensity-value'), `${Math.round(settings.duty * 100)}\u00a0%`)
    const cpu = fleet?.device ? fleet.device.kind === 'cpu' : choice === 'cpu' || ability?.gpu === false
    show(box('cpu-row'), cpu)
    const slider = element('cpu-workers', HTMLInputElement)
    if (slider.max !== String(settings.cpuMost)) slider.max = String(settings.cpuMost)
    if (slider.value !== String(settings.cpuWorkers)) slider.value = String(settings.cpuWorkers)
    slider.disabled = settings.cpuMost === 1
    setText(box('cpu-value'), words.count(settings.cpuWorkers))
    const spare = settings.cpuMost === 1 ? 'More would leave nothing for you.' : 'More is faster and leaves less for you.'
    setText(box('cpu-hint'), `This computer has ${words.many(settings.cores, 'core')}. ${spare}`)
    setText(box('pause'), phase === 'paused' ? 'Resume' : 'Pause')
    box('pause').classList.toggle('primary', phase === 'paused')
    element('pause', HTMLButtonElement).disabled = phase === 'starting'
  }

  /** @param {Situation} situation */
  #thanks(situation) {
    const { phase, tally, status, error } = situation
    const failed = error !== null && tally.samples === 0
    const visible = phase === 'ended' || (phase === 'stopped' && !failed)
    show(box('thanks'), visible)
    if (!visible) return
    const thanks = say.thanksWords(situation)
    setText(box('thanks-title'), thanks.title)
    setText(box('thanks-text'), thanks.text)
    /** @type {[string, string, string?][]} */
    const rows = []
    if (tally.samples > 0) rows.push(['Your samples', words.count(tally.samples), 'thanks-samples'])
    if (tally.samples > 0 && status && status.samples > 0) {
      rows.push(['Your share of the run', words.share(tally.samples / status.samples), 'thanks-share'])
    }
    if (words.known(status?.test_accuracy)) rows.push(['Accuracy on test data', words.percent(status.test_accuracy, 2), 'test-accuracy'])
    if (words.known(status?.test_mae)) rows.push(['Mean absolute error on test data', words.loss(status.test_mae), 'test-mae'])
    if (words.known(status?.test_loss)) rows.push(['Loss on test data', words.loss(status.test_loss), 'test-loss'])
    setRows(box('results'), rows)
    show(box('results'), rows.length > 0)
    // Once an epoch is over there is a network to ask.
    show(box('onward'), (status?.records.length ?? 0) > 0)
  }

  /** @param {Situation} situation */
  #technical({ fleet, tally, identity, tab, status }) {
    show(box('technical'), status !== null)
    const memory = fleet?.memory ?? 0
    figure('memory', words.megabytes(memory), memory)
    const own = fleet?.members.length ?? 0
    figure('own-workers', words.count(own), own)
    figure('trained', words.count(tally.trained), tally.trained)
    figure('own-loss', words.loss(tally.loss), tally.loss)
    setText(box('identity'), identity)
    setText(box('tab-number'), tab === null ? '–' : String(tab))
  }

  /** Keyboard and screen reader follow what a click has brought up. @param {string} phase */
  #changePhase(phase) {
    if (phase === this.#phase) return
    const first = this.#phase === ''
    this.#phase = phase
    document.body.dataset.phase = phase
    const target = FOCUS[/** @type {keyof typeof FOCUS} */ (phase)]
    const lost = document.activeElement === null || document.activeElement === document.body || isHidden(document.activeElement)
    if (!first && target && lost) box(target).focus({ preventScroll: true })
  }
}

/** @param {Element} target */
function isHidden(target) {
  return target.closest('[hidden]') !== null
}
