/** A sheet to draw on: with pointers of any kind, and with the keyboard. */
/** @import { Stroke } from './digit.js' */
import { onPaletteChange, palette } from './palette.js'

/** Parts of the sheet's side. */
const PEN = 0.075
const STEP = 0.04
/** More points than a person draws; after them the oldest stroke goes. */
const POINTS_MAX = 20_000
/** Points closer than this add nothing. */
const NEAR = 0.002

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

export class Sketch {
  /** @type {Stroke[]} */
  strokes = []
  #canvas
  #context
  #onChange
  /** @type {Map<number, Stroke>} The stroke that each pointer is drawing. */
  #open = new Map()
  /** The pen of the keyboard. */
  #pen = { x: 0.5, y: 0.3, down: false, shown: false }

  /** `onChange` is told whether a stroke has just ended.
   * @param {HTMLCanvasElement} canvas @param {(ended: boolean) => void} onChange */
  constructor(canvas, onChange) {
    this.#canvas = canvas
    this.#context = canvas.getContext('2d')
    this.#onChange = onChange
    canvas.addEventListener('pointerdown', (event) => this.#begin(event))
    canvas.addEventListener('pointermove', (event) => this.#move(event))
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => this.#end(/** @type {PointerEvent} */ (event)))
    canvas.addEventListener('keydown', (event) => this.#key(event))
    canvas.addEventListener('focus', () => this.#draw())
    canvas.addEventListener('blur', () => {
      this.#pen.shown = false
      this.#pen.down = false
      this.#draw()
    })
    new ResizeObserver(() => this.#draw()).observe(canvas)
    onPaletteChange(() => this.#draw())
  }

  clear() {
    this.strokes = []
    this.#open.clear()
    this.#pen.down = false
    this.#changed(true)
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect()
    const part = (/** @type {number} */ value) => Math.min(1, Math.max(0, value))
    return [part((event.clientX - box.left) / box.width), part((event.clientY - box.top) / box.height)]
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button !== 0) return
    this.#canvas.setPointerCapture(event.pointerId)
    this.#pen.shown = false
    /** @type {Stroke} */
    const stroke = [this.#place(event)]
    this.#open.set(event.pointerId, stroke)
    this.strokes.push(stroke)
    this.#changed(false)
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const stroke = this.#open.get(event.pointerId)
    if (!stroke) return
    const seen = event.getCoalescedEvents?.() ?? []
    for (const one of seen.length > 0 ? seen : [event]) extend(stroke, this.#place(one))
    this.#changed(false)
  }

  /** @param {PointerEvent} event */
  #end(event) {
    if (this.#open.delete(event.pointerId)) this.#changed(true)
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const move = MOVES[/** @type {keyof typeof MOVES} */ (event.key)]
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const pen = this.#pen
    if (move) {
      const step = event.shiftKey ? STEP / 4 : STEP
      pen.x = Math.min(1, Math.max(0, pen.x + (move[0] ?? 0) * step))
      pen.y = Math.min(1, Math.max(0, pen.y + (move[1] ?? 0) * step))
      const stroke = this.strokes.at(-1)
      if (pen.down && stroke) extend(stroke, [pen.x, pen.y])
    } else if (event.key === ' ') {
      pen.down = !pen.down
      if (pen.down) this.strokes.push([[pen.x, pen.y]])
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      this.clear()
    } else {
      return
    }
    event.preventDefault()
    pen.shown = true
    this.#changed(!pen.down)
  }

  /** @param {boolean} ended */
  #changed(ended) {
    let points = this.strokes.reduce((sum, stroke) => sum + stroke.length, 0)
    while (points > POINTS_MAX && this.strokes.length > 1) points -= this.strokes.shift()?.length ?? 0
    this.#draw()
    this.#onChange(ended)
  }

  #draw() {
    const context = this.#context
    const scale = Math.min(2, devicePixelRatio)
    const side = Math.round(this.#canvas.clientWidth * scale)
    if (!context || side === 0) return
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side
    const colours = palette()
    context.clearRect(0, 0, side, side)
    context.lineCap = context.lineJoin = 'round'
    context.lineWidth = PEN * side
    context.strokeStyle = colours.ink
    for (const stroke of this.strokes) {
      context.beginPath()
      stroke.forEach(([x, y], index) => (index === 0 ? context.moveTo(x * side, y * side) : context.lineTo(x * side, y * side)))
      const [first] = stroke
      if (stroke.length === 1 && first) context.lineTo(first[0] * side, first[1] * side)
      context.stroke()
    }
    if (!this.#pen.shown) return
    context.lineWidth = 2 * scale
    context.strokeStyle = context.fillStyle = colours.accent
    context.beginPath()
    context.arc(this.#pen.x * side, this.#pen.y * side, (PEN * side) / 2, 0, 2 * Math.PI)
    if (this.#pen.down) context.fill()
    context.stroke()
  }
}

/** @param {Stroke} stroke @param {[number, number]} point */
function extend(stroke, [x, y]) {
  const last = stroke.at(-1)
  if (last && Math.hypot(x - last[0], y - last[1]) < NEAR) return
  stroke.push([x, y])
}
