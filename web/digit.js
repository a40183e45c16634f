/** From a drawing to the pixels that a network for handwritten digits expects: scaled into a box, centred by its
 * centre of mass, white ink on black, as the digits of MNIST are. Pure arithmetic: what a browser's canvas gives
 * back differs from browser to browser. */

/** Parts of the picture's side: MNIST's box is 20 of 28 pixels, its strokes about two and a half. */
const BOX = 20 / 28
const PEN = 2.4 / 28
/** A dot is not blown up to a disc: a drawing counts as at least so large a part of the sheet. */
const SMALLEST = 0.2

/** Points of one stroke, in parts of the sheet's side. @typedef {[number, number][]} Stroke */
/** @typedef {{ height: number, width: number, channels: number }} Shape */

/** The values of the picture, row by row, whole numbers from 0 to 255. Empty drawings give black.
 * @param {Stroke[]} strokes @param {Shape} shape @returns {Float32Array} */
export function pixels(strokes, { height, width, channels }) {
  const side = Math.min(height, width)
  const points = strokes.flat()
  const values = new Float32Array(height * width * channels)
  if (points.length === 0) return values
  const xs = points.map(([x]) => x)
  const ys = points.map(([, y]) => y)
  const [left, right, top, bottom] = [min(xs), max(xs), min(ys), max(ys)]
  const pen = PEN * side
  const scale = (BOX * side - pen) / Math.max(right - left, bottom - top, SMALLEST)
  const fit = (/** @type {number} */ x, /** @type {number} */ y) =>
    strokes.map((stroke) => stroke.map(([px, py]) => /** @type {[number, number]} */ ([(px - x) * scale + width / 2, (py - y) * scale + height / 2])))
  const first = fit((left + right) / 2, (top + bottom) / 2)
  const mass = centre(ink(first, pen, height, width), width)
  // Then by the centre of mass, which may push a stroke over the edge: MNIST's do too.
  const moved = first.map((stroke) => stroke.map(([x, y]) => /** @type {[number, number]} */ ([x + width / 2 - mass[0], y + height / 2 - mass[1]])))
  const drawn = ink(moved, pen, height, width)
  for (let index = 0; index < values.length; index += 1) {
    values[index] = Math.round(255 * (drawn[Math.floor(index / channels)] ?? 0))
  }
  return values
}

/** How much of each pixel is inked, 0 to 1. @param {Stroke[]} strokes @param {number} pen @param {number} height @param {number} width */
function ink(strokes, pen, height, width) {
  const covered = new Float64Array(height * width)
  for (const stroke of strokes) {
    for (let index = 0; index < stroke.length; index += 1) {
      const to = /** @type {[number, number]} */ (stroke[index])
      segment(covered, stroke[index - 1] ?? to, to, pen, height, width)
    }
  }
  return covered
}

/** @param {Float64Array} covered @param {[number, number]} from @param {[number, number]} to @param {number} pen
 * @param {number} height @param {number} width */
function segment(covered, [ax, ay], [bx, by], pen, height, width) {
  const reach = pen / 2 + 1
  const rows = [Math.max(0, Math.floor(Math.min(ay, by) - reach)), Math.min(height - 1, Math.ceil(Math.max(ay, by) + reach))]
  const columns = [Math.max(0, Math.floor(Math.min(ax, bx) - reach)), Math.min(width - 1, Math.ceil(Math.max(ax, bx) + reach))]
  const [dx, dy] = [bx - ax, by - ay]
  const length = dx * dx + dy * dy
  for (let row = rows[0] ?? 0; row <= (rows[1] ?? -1); row += 1) {
    for (let column = columns[0] ?? 0; column <= (columns[1] ?? -1); column += 1) {
      const [px, py] = [column + 0.5 - ax, row + 0.5 - ay]
      const along = length > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0
      const distance = Math.hypot(px - along * dx, py - along * dy)
      const part = Math.min(1, Math.max(0, pen / 2 + 0.5 - distance))
      const index = row * width + column
      if (part > (covered[index] ?? 0)) covered[index] = part
    }
  }
}

/** Where the ink's weight is. @param {Float64Array} covered @param {number} width @returns {[number, number]} */
function centre(covered, width) {
  let [sum, x, y] = [0, 0, 0]
  covered.forEach((part, index) => {
    sum += part
    x += part * ((index % width) + 0.5)
    y += part * (Math.floor(index / width) + 0.5)
  })
  return sum > 0 ? [x / sum, y / sum] : [0, 0]
}

/** @param {number[]} values */
function min(values) {
  return values.reduce((a, b) => Math.min(a, b))
}

/** @param {number[]} values */
function max(values) {
  return values.reduce((a, b) => Math.max(a, b))
}
