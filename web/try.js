/** Entry of the prediction page: gets the network, and asks it about what is drawn or filled in. */
/** @import { Status, Notice } from './types.d.ts' */
import { showAnswer } from './answer.js'
import { Api, Refusal } from './api.js'
import { pixels } from './digit.js'
import { box, element, setText, show } from './dom.js'
import { takeToken, watchForNewLink } from './link.js'
import { showNotices } from './notices.js'
import { PredictorHost } from './predictor.js'
import { RowForm } from './row-form.js'
import { Sketch } from './sketch.js'
import * as words from './words.js'

const POLL_MS = 5000
const SLOWEST_MS = 30_000

const token = takeToken()
watchForNewLink()
const api = new Api(token)
/** @type {PredictorHost | null} */
let host = null
/** @type {(() => Float32Array | null) | null} What to ask about; null while nothing is drawn. */
let question = null
let failures = 0
/** A question that came while another one was computed: only the latest is worth an answer.
 * @type {{ ended: boolean } | null} */
let next = null
let computing = false
/** @type {Map<string, Notice>} */
const notes = new Map()

/** @param {string} key @param {string} text */
function setState(key, text) {
  box('state').dataset.state = key
  document.body.dataset.state = key
  setText(box('state'), text)
}

/** @param {string} title @param {string} text */
function block(title, text) {
  setState('blocked', 'Not possible')
  setText(box('error-title'), title)
  setText(box('error-text'), words.clean(text, 600))
  show(box('error'), true)
}

/** @param {boolean} ended whether it is worth reading out */
async function compute(ended) {
  const info = host?.info
  if (!host || !info || !question) return
  if (computing) {
    next = { ended }
    return
  }
  computing = true
  try {
    const values = question()
    const line = showAnswer(info, values ? await host.predict(values) : null)
    notes.delete('failed')
    if (ended && line !== '') setText(box('announcer'), line)
  } catch (error) {
    notes.set('failed', { text: `The network could not compute this. ${words.sentence(error instanceof Error ? error.message : error)}` })
  }
  computing = false
  showNotices(notes)
  const waiting = next
  next = null
  if (waiting) void compute(waiting.ended)
}

/** @param {{ height: number, width: number, channels: number }} shape */
function offerDrawing(shape) {
  const seen = element('seen', HTMLCanvasElement)
  seen.width = shape.width
  seen.height = shape.height
  const sheet = element('sketch', HTMLCanvasElement)
  const sketch = new Sketch(sheet, (ended) => {
    sheet.setAttribute('aria-label', sketch.strokes.length === 0 ? 'Empty sheet to draw on' : words.many(sketch.strokes.length, 'stroke'))
    void compute(ended)
  })
  box('clear').addEventListener('click', () => sketch.clear())
  const digits = host?.info?.classes?.every((name) => /^\d$/.test(name)) ?? false
  setText(box('drawing-title'), digits ? 'Draw a digit' : 'Draw something')
  question = () => {
    const values = pixels(sketch.strokes, shape)
    showSeen(seen, values, shape.channels)
    return sketch.strokes.length === 0 ? null : values
  }
  show(box('drawing'), true)
}

/** @param {HTMLCanvasElement} canvas @param {Float32Array} values @param {number} channels */
function showSeen(canvas, values, channels) {
  const context = canvas.getContext('2d')
  if (!context) return
  const image = context.createImageData(canvas.width, canvas.height)
  for (let index = 0; index < canvas.width * canvas.height; index += 1) {
    image.data.fill(values[index * channels] ?? 0, 4 * index, 4 * index + 3)
    image.data[4 * index + 3] = 255
  }
  context.putImageData(image, 0, 0)
}

/** Makes the sheet or the form, once it is known what the network takes. */
function offer() {
  const info = host?.info
  if (!info || question) return
  if (info.input.kind === 'image') {
    offerDrawing(info.input)
  } else {
    const form = new RowForm(element('row-form', HTMLFormElement), info.input.columns, (ended) => void compute(ended))
    question = () => form.values()
    show(box('row'), true)
  }
  show(box('bench'), true)
}

/** @param {Status} status */
function showRun(status) {
  const name = words.clean(status.name, 120) || 'A run without a name'
  setText(box('run-name'), name)
  document.title = `Try it · \u2068${words.clean(status.name, 40)}\u2069 · Herd`
  const over = status.state === 'ended'
  if (host?.info) setState(over ? 'ended' : status.state, over ? 'Trained' : 'In training')
}

/** Asking for what is not there yet would be an error. The first network is kept after an epoch that was validated,
 * or at the end. @param {Status} status */
function hasModel({ state, records }) {
  return state === 'ended' || (records ?? []).some((record) => words.known(record.validation_loss))
}

/** Asks for the newest network, and for how the run stands. */
async function refresh() {
  /** @type {Status} */
  const status = await api.json('/v1/status')
  if (host === null && !hasModel(status)) {
    showRun(status)
    setState('waiting', 'Waiting for a network')
    setText(box('model-words'), 'No network has been kept yet. This page goes on by itself when there is one.')
    return
  }
  const first = host === null
  host ??= new PredictorHost(api)
  const news = await host.refresh((text) => setState('preparing', text))
  const { info } = host
  if (info && news) {
    setText(box('model-words'), info.epoch === null ? 'As it is at the end.' : `As it is after epoch ${words.count(info.epoch)}.`)
    box('model-words').dataset.digest = info.digest
    offer()
    await compute(false)
    if (first) setText(box('announcer'), 'The network is ready.')
  }
  showRun(status)
}

/** @param {unknown} error @returns {boolean} whether to ask again */
function hearFailure(error) {
  if (error instanceof Refusal && error.status === 401) {
    block('This link is not valid', 'The coordinator does not know it, or no longer accepts it. Ask whoever gave it to you for a new one.')
    return false
  }
  if (error instanceof Refusal && error.status === 404) {
    setState('waiting', 'Waiting for the first model')
    setText(box('model-words'), words.sentence(error.message))
    return true
  }
  const message = words.sentence(error instanceof Error ? error.message : error)
  if (host?.info) notes.set('lost', { text: `${message} The network that you see computes on without it.` })
  else notes.set('lost', { text: `${message} Asking again.` })
  return true
}

async function poll() {
  if (!document.hidden || host === null) {
    try {
      await refresh()
      failures = 0
      notes.delete('lost')
    } catch (error) {
      failures += 1
      if (!hearFailure(error)) return
    }
    showNotices(notes)
  }
  setTimeout(poll, Math.min(SLOWEST_MS, POLL_MS * 2 ** Math.min(failures, 4)))
}

if (token === '') {
  block('This address is only half a link', 'A link to a run ends in # and a token, and this address has none. Open the whole link as you were given it.')
} else {
  show(box('back'), true)
  void poll()
}
