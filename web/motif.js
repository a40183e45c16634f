/** The herd at the head of the page: dots that walk together along the run, this tab's in the accent colour. */
import { onPaletteChange, palette, wantsStillness } from './palette.js'

/** Slow on purpose: the page must not eat what the training could use. */
const FRAME_MS = 1000 / 16
const DOTS_ALONE = 46
const DOTS_PER_WORKER = 14
const DOTS_MOST = 420
const RULER = 26

/** Position in the herd (u along the way, v across, both about -1 to 1), gait, and where it stands now.
 * @typedef {{ u: number, v: number, phase: number, pace: number, size: number, x: number, y: number, own: boolean }} Dot */
/** @typedef {{ workers: number, own: number, progress: number, epochs: number, moving: boolean }} Scene */

export class Motif {
  #canvas
  #context
  /** @type {Dot[]} */
  #dots = []
  /** @type {Scene} */
  #scene = { workers: 0, own: 0, progress: 0, epochs: 0, moving: false }
  #colours = palette()
  #width = 0
  #height = 0
  /** Where the way begins and, mirrored, ends: in line with the text below. */
  #margin = 0
  #last = 0
  /** Seconds walked: stands still while the herd does. */
  #walked = 0
  #random = generator(7)

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas
    this.#context = canvas.getContext('2d')
    if (!this.#context) return
    new ResizeObserver(() => this.#fit()).observe(canvas)
    onPaletteChange(() => {
      this.#colours = palette()
      this.#draw()
    })
    requestAnimationFrame((now) => this.#frame(now))
  }

  /** @param {Scene} scene */
  show(scene) {
    const before = this.#scene
    this.#scene = scene
    this.#populate()
    const changed = before.workers !== scene.workers || before.own !== scene.own || before.progress !== scene.progress
    if (wantsStillness() && changed) this.#still()
  }

  /** Brings the number of dots, and of own ones among them, to what the scene asks. */
  #populate() {
    const { workers, own } = this.#scene
    const crowd = Math.max(0.45, Math.min(1, this.#width / 900))
    const others = Math.max(0, workers - own)
    const most = Math.round(DOTS_MOST * crowd)
    const mine = Math.min(Math.round(own * DOTS_PER_WORKER * crowd), Math.round(most / 2))
    const theirs = Math.min(Math.round((DOTS_ALONE + others * DOTS_PER_WORKER) * crowd), most - mine)
    this.#adjust(true, mine)
    this.#adjust(false, theirs)
  }

  /** @param {boolean} own @param {number} wanted */
  #adjust(own, wanted) {
    let surplus = this.#dots.filter((dot) => dot.own === own).length - wanted
    if (surplus > 0) this.#dots = this.#dots.filter((dot) => dot.own !== own || (surplus -= 1) < 0)
    for (; surplus < 0; surplus += 1) this.#dots.push(this.#newcomer(own))
  }

  /** A dot that comes from behind and catches up. @param {boolean} own @returns {Dot} */
  #newcomer(own) {
    const random = this.#random
    // Two draws make the middle of the herd denser than its edge.
    const u = random() + random() - 1
    // Own ones walk on the near side, where they are seen.
    const v = own ? 0.05 + random() * 0.75 : random() + random() - 1
    const dot = { u, v, phase: random() * 7, pace: 0.7 + random() * 0.6, size: random(), x: 0, y: 0, own }
    const home = this.#home(dot)
    const start = this.#last === 0 || wantsStillness() ? 0 : 160 + random() * 160
    return { ...dot, x: home.x - start, y: home.y }
  }

  /** Where a dot belongs at this moment: its place in the herd, swaying with the waves that run through it.
   * @param {Dot} dot */
  #home(dot) {
    const ground = this.#height - RULER
    const spread = Math.min(230, this.#width * 0.2)
    // The herd as a whole stays in sight, also at the ends of its way.
    const first = this.#margin + spread * 0.7
    const centre = first + this.#scene.progress * (this.#width - this.#margin - spread * 0.75 - first)
    const t = this.#walked
    const wave = Math.sin(t * 0.5 + dot.u * 2.2) * 0.16 + Math.sin(t * 0.21 * dot.pace + dot.phase) * 0.2
    const drift = Math.sin(t * 0.33 * dot.pace + dot.phase * 2) * 0.14
    // The herd is drawn out along its way, with a tail behind.
    const along = dot.u < 0 ? dot.u * 1.5 : dot.u
    return { x: centre + (along + drift) * spread, y: ground * 0.52 + (dot.v + wave) * ground * 0.36 }
  }

  /** @param {number} now */
  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next))
    if (now - this.#last < FRAME_MS || wantsStillness()) return
    const passed = Math.min(0.2, (now - this.#last) / 1000)
    this.#last = now
    this.#walked += passed * (this.#scene.moving ? 1 : 0.22)
    const ease = 1 - Math.exp(-passed * 1.1)
    for (const dot of this.#dots) {
      const home = this.#home(dot)
      dot.x += (home.x - dot.x) * ease * dot.pace
      dot.y += (home.y - dot.y) * ease * dot.pace
    }
    this.#draw()
  }

  #still() {
    for (const dot of this.#dots) Object.assign(dot, this.#home(dot))
    this.#draw()
  }

  #fit() {
    const scale = Math.min(2, devicePixelRatio)
    this.#width = this.#canvas.clientWidth
    this.#height = this.#canvas.clientHeight
    const caption = this.#canvas.nextElementSibling
    this.#margin = caption ? Number.parseFloat(getComputedStyle(caption).paddingLeft) : 0
    this.#canvas.width = Math.round(this.#width * scale)
    this.#canvas.height = Math.round(this.#height * scale)
    this.#context?.setTransform(scale, 0, 0, scale, 0, 0)
    this.#populate()
    this.#still()
  }

  #draw() {
    const context = this.#context
    if (!context || this.#width === 0) return
    context.clearRect(0, 0, this.#width, this.#height)
    this.#drawRuler(context)
    // Far ones first, so that near ones walk in front of them.
    const ordered = this.#dots.slice().sort((a, b) => a.y - b.y)
    for (const own of [false, true]) {
      const colour = own ? this.#colours.accent : this.#colours.ink
      context.fillStyle = colour
      context.strokeStyle = colour
      for (const dot of ordered) if (dot.own === own) this.#drawDot(context, dot)
    }
    context.globalAlpha = 1
  }

  /** Near ones are larger and darker; while the run trains, each leaves a short trace behind.
   * @param {CanvasRenderingContext2D} context @param {Dot} dot */
  #drawDot(context, dot) {
    const near = Math.max(0, Math.min(1, dot.y / ((this.#height - RULER) * 0.9)))
    const radius = 1 + near * 1.6 + dot.size * 0.8 + (dot.own ? 0.4 : 0)
    const alpha = dot.own ? 0.8 + 0.2 * near : 0.22 + 0.6 * near
    if (this.#scene.moving) {
      context.globalAlpha = alpha * 0.3
      context.lineWidth = 1
      context.beginPath()
      context.moveTo(dot.x, dot.y)
      context.lineTo(dot.x - (9 + near * 14) * dot.pace, dot.y)
      context.stroke()
    }
    context.globalAlpha = alpha
    context.beginPath()
    context.arc(dot.x, dot.y, radius, 0, 2 * Math.PI)
    context.fill()
  }

  /** The way: a tick for each epoch, and what lies behind the herd drawn over in the accent colour.
   * @param {CanvasRenderingContext2D} context */
  #drawRuler(context) {
    const { progress, epochs } = this.#scene
    const margin = this.#margin
    const length = this.#width - 2 * margin
    const y = this.#height - 10.5
    context.fillStyle = this.#colours.rule
    context.fillRect(0, y, this.#width, 1)
    const every = Math.max(1, Math.ceil(epochs / (length / 10)))
    for (let epoch = 0; epoch <= epochs; epoch += every) {
      const done = epochs > 0 && epoch / epochs <= progress + 1e-9
      const tall = epoch % (every * 5) === 0 || epoch === epochs
      context.fillStyle = done ? this.#colours.accent : this.#colours.muted
      context.fillRect(Math.round(margin + (length * epoch) / Math.max(1, epochs)), y - (tall ? 8 : 4), 1, tall ? 8 : 4)
    }
    context.fillStyle = this.#colours.accent
    if (progress > 0) context.fillRect(0, y - 0.5, margin + progress * length, 2)
  }
}

/** A small seeded generator (mulberry32): the herd looks the same on every visit. @param {number} seed */
function generator(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
