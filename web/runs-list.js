/** The runs of the coordinator's folder, this one among them. */
/** @import { RunEntry } from './answers.d.ts' */
import { box, cell, setText, show } from './dom.js'
import * as words from './words.js'

const HEADS = ['Run', 'State', 'Started', 'Epochs', 'Samples', 'Best']
const MOST_ROWS = 200

/** @param {RunEntry[]} runs */
export function showRuns(runs) {
  show(box('runs'), runs.length > 0)
  setText(box('runs-title'), `Runs in this folder (${words.count(runs.length)})`)
  box('runs-head').replaceChildren(...HEADS.map((head) => cell('th', head)))
  const rows = runs.slice(0, MOST_ROWS).map((run) => {
    const row = document.createElement('tr')
    if (run.current) row.setAttribute('aria-current', 'true')
    const name = `${words.clean(run.run, 80)}${run.current ? ' (this one)' : ''}`
    const texts = [name, words.clean(run.state, 30), started(run.started), words.count(run.epochs), words.count(run.samples), best(run.best)]
    row.append(...texts.map((text) => cell('td', text)))
    return row
  })
  box('runs-body').replaceChildren(...rows)
}

/** @param {RunEntry['started']} value */
function started(value) {
  if (value === null || value === undefined) return '–'
  // Numbers are seconds since 1970.
  const date = new Date(typeof value === 'number' ? value * 1000 : value)
  return Number.isNaN(date.getTime()) ? words.clean(value, 30) : date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
}

/** @param {RunEntry['best']} value */
function best(value) {
  if (!value || !words.known(value.value)) return '–'
  const text = /accuracy/.test(value.metric) ? words.percent(value.value, 2) : words.loss(value.value)
  return `${text} ${words.clean(value.metric, 40)}`
}
