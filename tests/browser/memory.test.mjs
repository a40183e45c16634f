// Thousands of steps in one tab: neither the memory of the wasm program nor that of the browser's processes
// grows with them.
import assert from 'node:assert/strict'

import { processes, residentBytes } from './support/browser.mjs'
import { irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const MEGABYTE = 2 ** 20

/** Growth that is allowed between the first quarter and the end: the program's own memory, and that of a
 * process, whose garbage is collected when the browser likes. */
const WASM_GROWTH = 16 * MEGABYTE
const PROCESS_GROWTH = 64 * MEGABYTE

const BATCH = 4
const FOR_EVER = 1_000_000

/** Greatest memory of the processes that compute. */
async function resident(open, types) {
  const lists = await Promise.all(types.map((type) => processes(open, type)))
  const sizes = await Promise.all(lists.flat().map(residentBytes))
  return sizes.includes(null) || sizes.length === 0 ? null : Math.max(...sizes)
}

/** Memory once so many steps were merged. */
async function after(steps, { herd, tab, open, types }) {
  await until(`${steps} steps`, async () => (await herd.status()).samples >= steps * BATCH, { seconds: 120, interval: 250 })
  const wasm = await until('the page tells its memory', () => tab.number('memory'))
  return { wasm, resident: await resident(open, types) }
}

async function assertBounded(stage, { kind, device, steps, types }) {
  const job = await irisJob(stage.folder, { epochs: FOR_EVER, batch: BATCH, frequency: 'steps=10', rate: 0.001 })
  const herd = await stage.herd({ job })
  const open = await stage.ownBrowser(kind)
  const tab = await stage.tab(herd, { kind: open, device })
  await tab.start()
  await tab.untilAccepted(1, 120)
  const all = { herd, tab, open, types }
  const quarter = await after(steps / 4, all)
  const end = await after(steps, all)
  const figures = `${JSON.stringify(quarter)} after a quarter, ${JSON.stringify(end)} at the end`
  stage.note(figures)
  assert.ok(quarter.wasm > MEGABYTE, `it is the program's memory: ${figures}`)
  assert.ok(end.wasm - quarter.wasm <= WASM_GROWTH, `the wasm program grows: ${figures}`)
  if (end.resident !== null && quarter.resident !== null) {
    assert.ok(end.resident - quarter.resident <= PROCESS_GROWTH, `a process grows: ${figures}`)
  }
}

scenario('memory is bounded over 8,000 steps on the processor', { minutes: 3 }, (stage) =>
  assertBounded(stage, { kind: 'plain', device: 'cpu', steps: 8000, types: ['renderer'] }))

scenario('memory is bounded over 800 steps on the graphics card', { minutes: 5 }, (stage) =>
  assertBounded(stage, { kind: 'webgpu', device: 'webgpu', steps: 800, types: ['renderer', 'GPU'] }))
