/** Entry of the dashboard: reads the token, follows the run, and wires what its viewer may do. */
/** @import { Tick, Whole } from './answers.d.ts' */
/** @import { Over } from './tables.js' */
import { Api } from './api.js'
import { Controls } from './controls.js'
import { DashboardView } from './dashboard-view.js'
import { box, element, setText, show } from './dom.js'
import { wireDownloads } from './downloads.js'
import { Feed } from './feed.js'
import { Invite } from './invite.js'
import { takeToken, watchForNewLink } from './link.js'
import { Live } from './live.js'
import { showRuns } from './runs-list.js'
import { sentence } from './words.js'

const TICK_MS = 1000

const token = takeToken()
watchForNewLink()
const api = new Api(token)
const feed = new Feed()
const controls = new Controls(api)
const invite = new Invite()
const view = new DashboardView((worker, name) => void controls.remove(worker, name))
/** @type {Live | null} */
let live = null
let role = ''
let state = ''

function render() {
  // What nobody sees costs nothing; it is drawn when somebody looks.
  if (document.hidden) return
  view.render(feed, live)
  show(box('control'), role === 'admin')
  if (live?.reach === 'invalid') explain(live.refusal)
  if (!feed.view) return
  controls.show(feed.view)
  invite.over = feed.view.state === 'ended'
  const model = element('get-model', HTMLButtonElement)
  // Without validation the network of the end is the one to take.
  model.disabled = feed.view.best === null && feed.view.state !== 'ended'
  setText(box('model-hint'), model.disabled ? 'none is kept yet' : '')
}

/** @param {string} name @param {Whole | Tick} data */
function hear(name, data) {
  feed.apply(name, data)
  const now = feed.view?.state ?? ''
  if (name === 'whole' || now !== state) lookAround()
  state = now
  render()
}

/** What changes rarely is asked for when the connection is new, and when the run's state changes. */
function lookAround() {
  if (role !== 'admin') return
  api.json('/v1/join').then((answer) => invite.show(answer.links ?? [])).catch(() => {})
  api.json('/v1/runs').then(showRuns).catch(() => {})
}

/** @param {string} heard */
function hearRole(heard) {
  role = heard
  view.admin = role === 'admin'
}

/** @param {string} refusal */
function explain(refusal) {
  setText(box('ask-title'), 'This token does not open the dashboard')
  setText(box('ask-text'), `${sentence(refusal, 300)} Ask whoever runs this training for a link to the dashboard.`)
}

/** A token, or a link that ends in one. @param {string} text */
function take(text) {
  const typed = text.trim()
  const given = typed.slice(typed.lastIndexOf('#') + 1)
  if (given === '') return
  location.hash = encodeURIComponent(given)
}

function wire() {
  element('ask-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    take(element('token', HTMLInputElement).value)
  })
  for (const choice of document.querySelectorAll('input[name="axis"]')) {
    choice.addEventListener('change', () => {
      view.over = /** @type {Over} */ (/** @type {HTMLInputElement} */ (choice).value)
      render()
    })
  }
  wireDownloads(api)
  document.addEventListener('visibilitychange', render)
  addEventListener('pageshow', (event) => {
    // Out of the browser's cache the stream is gone: begin anew.
    if (event.persisted) location.reload()
  })
}

wire()
if (token === '') {
  setText(box('ask-text'), 'A link to the dashboard ends in # and a token. Paste the link, or the token alone: herd train prints it.')
} else {
  live = new Live(api, { onEvent: hear, onRole: hearRole, onChange: render })
  // News draw the page; without any, only the time to the next attempt runs down.
  setInterval(() => {
    if (live?.until !== null) render()
  }, TICK_MS)
}
render()
