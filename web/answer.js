/** What the network says: one word, how sure it is, and a bar for each class; or values. */
/** @import { PredictorInfo } from './answers.d.ts' */
import { box, setText } from './dom.js'
import * as words from './words.js'

/** More classes than fit on a page: then the likeliest are shown. */
const BARS_MAX = 20

/** @param {PredictorInfo} info @param {Float32Array | null} outputs null while there is no question
 * @returns {string} the answer in one line */
export function showAnswer(info, outputs) {
  if (!outputs) {
    fill('–', 'Nothing to look at yet.')
    showBars(info.classes ? Array.from(info.classes, (name) => ({ name, value: 0 })) : [], -1)
    return ''
  }
  const values = Array.from(outputs)
  if (!info.classes) {
    const name = words.clean(info.target, 60) || 'value'
    const text = values.map(number).join(', ')
    fill(text, name, values[0])
    showBars([], -1)
    return `${name} ${text}`
  }
  const best = values.reduce((most, value, index) => (value > (values[most] ?? 0) ? index : most), 0)
  const names = values.map((_, index) => words.clean(info.classes?.[index] ?? index, 60))
  const sure = words.percent(values[best] ?? 0)
  fill(names[best] ?? '', `${sureness(values[best] ?? 0)}, with ${sure}.`, best)
  const bars = values.map((value, index) => ({ name: names[index] ?? '', value, index }))
  const shown = bars.length > BARS_MAX ? bars.sort((a, b) => b.value - a.value).slice(0, BARS_MAX) : bars
  showBars(shown, shown.findIndex((bar) => bar.index === best))
  return `${names[best]}, ${sure}`
}

/** @param {string} verdict @param {string} text @param {number} [raw] */
function fill(verdict, text, raw) {
  setText(box('verdict'), verdict)
  box('verdict').dataset.value = raw === undefined ? '' : String(raw)
  // A long word is set smaller than a digit.
  box('verdict').dataset.long = String(verdict.length > 8)
  setText(box('verdict-words'), text)
}

/** @param {{ name: string, value: number }[]} bars @param {number} best */
function showBars(bars, best) {
  const list = box('bars')
  while (list.children.length > bars.length) list.lastElementChild?.remove()
  bars.forEach(({ name, value }, index) => {
    let item = /** @type {HTMLElement | undefined} */ (list.children[index])
    if (!item) {
      item = document.createElement('li')
      item.append(document.createElement('bdi'), document.createElement('span'), document.createElement('span'))
      list.append(item)
    }
    const [label, bar, text] = /** @type {HTMLElement[]} */ (Array.from(item.children))
    if (!label || !bar || !text) return
    setText(label, name)
    setText(text, words.percent(value))
    bar.className = 'bar'
    bar.style.setProperty('--part', String(Math.min(1, Math.max(0, value))))
    item.dataset.value = String(value)
    item.dataset.best = String(index === best)
  })
}

/** @param {number} value */
function number(value) {
  return String(Number(value.toPrecision(5)))
}

/** @param {number} probability */
function sureness(probability) {
  if (probability >= 0.95) return 'Quite sure'
  if (probability >= 0.7) return 'Rather sure'
  return 'Not sure'
}
