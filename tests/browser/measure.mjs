// One round of the benchmark of the page: how long from the click to the first merged update, with nothing
// in the browser's cache and with all of it; how fast a tab trains in long leases and in short ones, and how
// fast the same steps are in that browser with nothing around them. Prints one JSON object.
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { closeBrowsers, launch } from './support/browser.mjs'
import { Herd } from './support/herd.mjs'
import { Hygiene } from './support/hygiene.mjs'
import { JoinPage } from './support/page.mjs'
import { until } from './support/waiting.mjs'

const BATCH = 64
/** Samples before the first look: the first updates wait for compilation and caches. */
const WARM_SAMPLES = 24_000
const SAMPLES = 160_000
const TRAIN = ['--epochs', '1000', '--validation-split', '0']

/** Clicks, and gives the milliseconds until an update was merged. */
async function click(herd, context) {
  const page = await context.newPage()
  const tab = new JoinPage(page, await Hygiene.watch(page, [herd.origin]))
  await page.goto(herd.link({ device: 'cpu' }))
  await tab.id('start').waitFor()
  const start = performance.now()
  await tab.start()
  await until('a merged update', async () => (await tab.number('accepted')) >= 1, { seconds: 60, interval: 10 })
  return { tab, milliseconds: performance.now() - start }
}

/** When so many samples were merged. */
async function reached(herd, samples) {
  const look = async () => {
    const status = await herd.status()
    return status.samples >= samples && { samples: status.samples, at: performance.now() }
  }
  return until(`${samples} samples`, look, { seconds: 120, interval: 50 })
}

/** Samples per second of the run, which one tab trains. */
async function speed(herd) {
  const from = await reached(herd, WARM_SAMPLES)
  const to = await reached(herd, WARM_SAMPLES + SAMPLES)
  return ((to.samples - from.samples) * 1000) / (to.at - from.at)
}

/** The same steps in the same browser, without a coordinator. */
async function loop(herd, context) {
  const spec = await readFile(path.join(herd.folder, 'spec.json'), 'utf8')
  const page = await context.newPage()
  await page.goto(herd.link({ device: 'cpu' }))
  const steps = await page.evaluate(async ({ spec, batch }) => {
    const base = document.querySelector('meta[name=herd-wasm]').content
    const glue = await import(`${base}/worker_wasm.js`)
    const exports = await glue.default({ module_or_path: `${base}/worker_wasm_bg.wasm` })
    exports.__wasm_call_ctors()
    // The browser compiles anew what runs often: the best of several is the speed of the final code.
    let best = 0
    for (let round = 0; round < 10; round += 1) best = Math.max(best, await glue.steps_per_second(spec, batch))
    return best
  }, { spec, batch: BATCH })
  return steps * BATCH
}

/** A coordinator with a folder of its own. */
async function start(args) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'herd-measure-'))
  folders.push(folder)
  await mkdir(path.join(folder, 'run'))
  return Herd.start(folder, { args: [...TRAIN, ...args] }, (program) => programs.push(program))
}

const folders = []
const programs = []
try {
  const open = await launch('plain')
  const context = await open.newContext()
  const long = await start([])
  const cold = await click(long, context)
  await cold.tab.page.close()
  const warm = await click(long, context)
  const tab = await speed(long)
  await warm.tab.page.close()
  const alone = await loop(long, context)
  long.program.kill()
  const short = await start(['--frequency', 'steps=10'])
  await click(short, context)
  const tabShort = await speed(short)
  await open.close()
  const figures = { cold_ms: cold.milliseconds, warm_ms: warm.milliseconds, tab, tab_short: tabShort, loop: alone }
  console.log(JSON.stringify(figures))
} finally {
  for (const program of programs) program.kill()
  await closeBrowsers()
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}
process.exit()
