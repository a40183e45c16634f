// Parts of the pages that need no browser: how drawings become pixels, streams become events, and what is kept.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { pixels } from '../../web/digit.js'
import { Feed } from '../../web/feed.js'
import { Lines } from '../../web/live.js'
import { bytes, moment } from '../../web/words.js'

const SHAPE = { height: 28, width: 28, channels: 1 }
const SIDE = 28

/** Where the ink is, and the centre of its weight. */
function measure(values) {
  const inked = Array.from(values.keys()).filter((index) => values[index] > 0)
  const sum = values.reduce((total, value) => total + value, 0)
  const mean = (place) => inked.reduce((total, index) => total + values[index] * (place(index) + 0.5), 0) / sum
  const columns = inked.map((index) => index % SIDE)
  const rows = inked.map((index) => Math.floor(index / SIDE))
  return {
    width: Math.max(...columns) - Math.min(...columns) + 1,
    height: Math.max(...rows) - Math.min(...rows) + 1,
    x: mean((index) => index % SIDE),
    y: mean((index) => Math.floor(index / SIDE)),
  }
}

test('a drawing fills a box of twenty pixels and is centred by its weight, wherever and however large it was drawn', () => {
  const angle = [[0, 0], [0.6, 0], [0.6, 0.8]]
  let first
  for (const [scale, x, y] of [[1, 0.2, 0.1], [0.5, 0, 0], [0.5, 0.6, 0.55]]) {
    const values = pixels([angle.map(([px, py]) => [px * scale + x, py * scale + y])], SHAPE)
    const { width, height, x: cx, y: cy } = measure(values)
    assert.ok(Math.max(width, height) >= 19 && Math.max(width, height) <= 22, `${width} x ${height}`)
    assert.ok(Math.abs(cx - 14) < 0.5 && Math.abs(cy - 14) < 0.5, `${cx}, ${cy}`)
    first ??= values
    const most = Math.max(...values.map((value, index) => Math.abs(value - first[index])))
    assert.ok(most <= 2, `the same pixels: ${most}`)
  }
})

test('pixels are whole numbers from 0 to 255; an empty sheet is black, a dot stays small', () => {
  assert.deepEqual(pixels([], SHAPE), new Float32Array(784))
  const dot = pixels([[[0.5, 0.5]]], SHAPE)
  assert.ok(dot.every((value) => Number.isInteger(value) && value >= 0 && value <= 255))
  assert.ok(Math.max(...dot) > 200)
  assert.ok(measure(dot).width < 6, 'a dot is no disc')
  const colours = pixels([[[0, 0], [1, 1]]], { height: 8, width: 6, channels: 3 })
  assert.equal(colours.length, 144)
  assert.ok(colours.every((value, index) => value === colours[index - (index % 3)]))
})

test('events come out of a stream whatever its pieces', () => {
  const text = 'event: whole\ndata: {"a":1}\n\n: a comment\r\nevent: tick\r\ndata: {"b":2}\r\n\r\ndata: 3\n\n'
  for (let piece = 1; piece < text.length; piece += 1) {
    const heard = []
    const lines = new Lines((name, data) => heard.push([name, JSON.parse(data)]))
    for (let at = 0; at < text.length; at += piece) lines.push(text.slice(at, at + piece))
    assert.deepEqual(heard, [['whole', { a: 1 }], ['tick', { b: 2 }], ['message', 3]])
  }
  assert.throws(() => {
    const lines = new Lines(() => {})
    for (let count = 0; count < 20; count += 1) lines.push('x'.repeat(1 << 20))
  }, /without end/)
})

test('what the page keeps of a run is bounded, and an epoch keeps its place', () => {
  const feed = new Feed()
  feed.apply('tick', { view: { name: 'too early' } })
  assert.equal(feed.view, null, 'a tick means nothing before a whole')
  feed.apply('whole', { view: {}, records: [], curve: [[1, 2, 3]], history: [], events: [{ number: 1 }] })
  for (let epoch = 1; epoch <= 10_000; epoch += 1) {
    const record = { epoch, samples: 10, seconds: epoch }
    // Both come twice: a tick may repeat what a whole had.
    feed.apply('tick', { view: {}, records: [record, record], curve: null, events: [{ number: epoch }] })
  }
  assert.ok(feed.records.length <= 2000 && feed.records.length > 500, String(feed.records.length))
  for (const record of feed.records) assert.equal(record.end, record.epoch * 10)
  assert.equal(feed.events.length, 200)
  assert.equal(feed.events.at(-1).number, 10_000)
  assert.deepEqual(feed.curve, [[1, 2, 3]], 'null leaves it as it was')
  feed.apply('tick', { view: {}, curve: { from: 1, points: [[4, 5, 6]] } })
  assert.deepEqual(feed.curve, [[1, 2, 3], [4, 5, 6]])
  feed.apply('whole', { view: {}, records: [{ epoch: 1, samples: 5 }], curve: [], history: [], events: [] })
  assert.equal(feed.records.length, 1, 'a whole begins anew')
  feed.apply('tick', { view: {}, records: [{ epoch: 4, samples: 5 }] })
  assert.equal(feed.records.at(-1).end, 20, 'epochs that were left out count')
})

test('sizes and times are written for people', () => {
  assert.deepEqual([0, 999, 1000, 54_100_000, 2e12].map(bytes), ['0\u00a0B', '999\u00a0B', '1.0\u00a0kB', '54.1\u00a0MB', '2.0\u00a0TB'])
  assert.deepEqual([0, 45, 60, 120, 90, 3600, 5400].map(moment), ['0\u00a0s', '45\u00a0s', '1\u00a0min', '2\u00a0min', '1\u00a0min 30\u00a0s', '1\u00a0h', '1\u00a0h 30\u00a0min'])
})
