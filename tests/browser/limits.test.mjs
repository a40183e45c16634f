// Browsers that lack something: the page says what and why, and goes on with what is left.
import assert from 'node:assert/strict'

import { entries } from './support/herd.mjs'
import { irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'

/** A run that lasts as long as the test. */
const FOR_EVER = 1_000_000

async function endlessRun(stage) {
  return stage.herd({ job: await irisJob(stage.folder, { epochs: FOR_EVER }) })
}

/** A watched tab that has not opened anything yet, so that its browser can be made a poorer one. */
function unopened(stage, herd, kind = 'plain') {
  return stage.blank({ kind, origins: [herd.origin] })
}

async function assertTrainsOnProcessor(tab) {
  await tab.start()
  await tab.untilAccepted()
  assert.equal(await tab.id('device').getAttribute('data-kind'), 'cpu')
}

/** What the error says must match all of the patterns: the page's own words may change. */
async function assertBlocked(herd, tab, ...explanation) {
  const error = await tab.untilError()
  for (const pattern of explanation) assert.match(error, pattern)
  assert.equal(await tab.state(), 'blocked')
  assert.ok(!(await tab.id('start').isVisible()), 'there is nothing to press')
  assert.equal((await herd.status()).workers, 0, 'nothing has joined')
}

scenario('without WebGPU the page says so and the processor trains', {}, async (stage) => {
  const epochs = 30
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs }) })
  const tab = await stage.tab(herd, { name: 'poor' })
  const missing = await tab.page.evaluate(async () => !(await navigator.gpu?.requestAdapter()))
  assert.ok(missing, 'this Chromium has no graphics card')
  assert.match(await tab.untilNotice('no-webgpu'), /(?=.*processor)(?=.*(WebGPU|graphics card))/is)
  await assertTrainsOnProcessor(tab)
  const ledger = await herd.ledger()
  assert.deepEqual(entries(ledger, 'poor').map((entry) => entry.device), ['cpu'])
})

scenario('a link that demands WebGPU starts nothing without it', {}, async (stage) => {
  const herd = await endlessRun(stage)
  const tab = await stage.tab(herd, { device: 'webgpu' })
  await assertBlocked(herd, tab, /graphics card cannot be used/i, /link asks for the graphics card/i)
})

scenario('WebGPU without timestamp-query is explained and the processor trains', { minutes: 3 }, async (stage) => {
  const herd = await endlessRun(stage)
  const tab = await unopened(stage, herd, 'webgpu')
  await tab.page.addInitScript(() => {
    const features = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'features')
    Object.defineProperty(GPUAdapter.prototype, 'features', {
      get() {
        const all = features.get.call(this)
        window.herdAsked = true
        return { has: (name) => name !== 'timestamp-query' && all.has(name) }
      },
    })
  })
  await tab.page.goto(herd.link())
  assert.match(await tab.untilNotice('no-webgpu'), /timestamp/i)
  assert.ok(await tab.page.evaluate(() => window.herdAsked), 'the poorer adapter was the one that was asked')
  await assertTrainsOnProcessor(tab)
})

scenario('a browser without WebAssembly is told why it cannot take part', {}, async (stage) => {
  const herd = await endlessRun(stage)
  const tab = await unopened(stage, herd)
  await tab.page.addInitScript(() => delete globalThis.WebAssembly)
  await tab.page.goto(herd.link())
  assert.equal(await tab.page.evaluate(() => typeof WebAssembly), 'undefined', 'it is gone')
  await assertBlocked(herd, tab, /cannot take part/i, /no WebAssembly/i)
})

/** The browser says that it obeys. */
const WASM_BLOCKED = /wasm-eval|unsafe-eval|WebAssembly/

scenario('blocked WebAssembly is explained', { allow: [WASM_BLOCKED] }, async (stage) => {
  const herd = await endlessRun(stage)
  const tab = await unopened(stage, herd)
  let dropped = false
  await tab.page.route('**/join*', async (route) => {
    const response = await route.fetch()
    const headers = response.headers()
    const policy = headers['content-security-policy']
    headers['content-security-policy'] = policy.replaceAll("'wasm-unsafe-eval'", '')
    dropped = headers['content-security-policy'] !== policy
    await route.fulfill({ response, headers })
  })
  await tab.page.goto(herd.link())
  assert.ok(dropped, 'the rule that allows wasm was there and is gone')
  await assertBlocked(herd, tab, /cannot take part/i, /blocks WebAssembly/i)
  assert.ok(tab.hygiene.findings.some((finding) => WASM_BLOCKED.test(finding)), 'the browser really blocked it')
})
