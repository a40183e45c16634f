// One round of the benchmark of the page: how long from the click to the first merged update, with nothing
// in the browser's cache and with all of it; how fast a tab trains, and how fast the same steps are in that
// browser with nothing around them. Prints one JSON object.
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { closeBrowsers, launch } from './support/browser.mjs'
import { Herd } from './support/herd.mjs'
import { Hygiene } from './support/hygiene.mjs'
import { JoinPage } from './support/page.mjs'
import { until } from './support/waiting.mjs'

const BATCH = 64
/** The first updates wait for compilation and caches. */
const WARM_UPDATES = 20
const UPDATES = 200
/** Each lease is short, so that the first update comes soon. */
const TRAIN = ['--epochs', '1000', '--frequency', 'steps=10', '--validation-split', '0']

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

/** Samples per second of the whole run between two looks at it. */
async function speed(herd, tab) {
  await tab.untilAccepted(WARM_UPDATES)
  const from = { ...(await herd.status()), at: performance.now() }
  await tab.untilAccepted(WARM_UPDATES + UPDATES)
  const to = { ...(await herd.status()), at: performance.now() }
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
    await glue.steps_per_second(spec, batch)
    return glue.steps_per_second(spec, batch)
  }, { spec, batch: BATCH })
  return steps * BATCH
}

const folder = await mkdtemp(path.join(os.tmpdir(), 'herd-measure-'))
await mkdir(path.join(folder, 'run'))
const programs = []
try {
  const herd = await Herd.start(folder, { args: TRAIN }, (program) => programs.push(program))
  const open = await launch('plain')
  const context = await open.newContext()
  const cold = await click(herd, context)
  await cold.tab.page.close()
  const warm = await click(herd, context)
  const tab = await speed(herd, warm.tab)
  await warm.tab.page.close()
  const alone = await loop(herd, context)
  await open.close()
  console.log(JSON.stringify({ cold_ms: cold.milliseconds, warm_ms: warm.milliseconds, tab, loop: alone }))
} finally {
  for (const program of programs) program.kill()
  await closeBrowsers()
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}
process.exit()
