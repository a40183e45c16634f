/** A row of a table to fill in: a slider and a field for each number, a list for each column of words. */
/** @import { Column } from './answers.d.ts' */
import * as words from './words.js'

/** Steps of a slider over what the training data had. */
const STEPS = 200

export class RowForm {
  /** @type {(() => number[])[]} The values of each column. */
  #values = []

  /** `onChange` is told whether the reader has finished with a field.
   * @param {HTMLFormElement} form @param {Column[]} columns @param {(ended: boolean) => void} onChange */
  constructor(form, columns, onChange) {
    const rows = columns.map((column, index) => (column.words ? this.#choice(column, index) : this.#number(column, index)))
    form.replaceChildren(...rows)
    form.addEventListener('submit', (event) => event.preventDefault())
    form.addEventListener('input', () => onChange(false))
    form.addEventListener('change', () => onChange(true))
  }

  /** The row as the network takes it. */
  values() {
    return Float32Array.from(this.#values.flatMap((values) => values()))
  }

  /** @param {Column} column @param {number} index */
  #choice(column, index) {
    const select = document.createElement('select')
    select.id = `column-${index}`
    const choices = column.words ?? []
    for (const word of choices) select.append(Object.assign(document.createElement('option'), { textContent: words.clean(word, 60) }))
    // A column of words is one value for each: 1 for the chosen one.
    this.#values.push(() => choices.map((_, place) => (place === select.selectedIndex ? 1 : 0)))
    return field(column, select.id, [select])
  }

  /** @param {Column} column @param {number} index */
  #number(column, index) {
    const low = words.known(column.low) ? column.low : 0
    const high = words.known(column.high) ? column.high : low + 1
    const start = words.known(column.mean) ? column.mean : (low + high) / 2
    const step = niceStep((high - low) / STEPS)
    const text = Object.assign(document.createElement('input'), { id: `column-${index}`, type: 'text', inputMode: 'decimal', autocomplete: 'off' })
    const slider = Object.assign(document.createElement('input'), { type: 'range', min: String(low), max: String(high), step: 'any' })
    slider.setAttribute('aria-label', words.clean(column.name, 60))
    const write = (/** @type {number} */ value) => {
      text.value = String(Number((Math.round(value / step) * step).toPrecision(7)))
    }
    write(start)
    slider.value = text.value
    slider.addEventListener('input', () => write(slider.valueAsNumber))
    text.addEventListener('input', () => {
      const typed = read(text.value)
      text.setAttribute('aria-invalid', String(typed === null))
      if (typed !== null) slider.value = String(typed)
    })
    // What is no number counts as the mean, and is marked.
    this.#values.push(() => [read(text.value) ?? start])
    const range = `${words.figure(low)} to ${words.figure(high)} in the training data`
    return field(column, text.id, [text, slider], range)
  }
}

/** @param {Column} column @param {string} id @param {HTMLElement[]} parts @param {string} [hint] */
function field(column, id, parts, hint = '') {
  const row = document.createElement('div')
  row.className = 'column'
  const label = document.createElement('label')
  label.htmlFor = id
  label.textContent = words.clean(column.name, 60)
  row.append(label, ...parts)
  if (hint !== '') {
    const words = Object.assign(document.createElement('p'), { className: 'hint', id: `${id}-hint`, textContent: hint })
    parts[0]?.setAttribute('aria-describedby', words.id)
    row.append(words)
  }
  return row
}

/** 1, 2 or 5 times a power of ten, at most this. @param {number} most */
function niceStep(most) {
  if (!(most > 0)) return 0.01
  const power = 10 ** Math.floor(Math.log10(most))
  const times = most / power
  return power * (times >= 5 ? 5 : times >= 2 ? 2 : 1)
}

/** @param {string} text */
function read(text) {
  const typed = text.trim().replace(',', '.')
  const value = Number(typed)
  return typed === '' || !Number.isFinite(value) ? null : value
}
