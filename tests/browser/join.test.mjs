// From a link to the first merged update: on the processor and on the graphics card, with the right token,
// a wrong one and none.
import assert from 'node:assert/strict'

import { assertExact, entries, samplesOf } from './support/herd.mjs'
import { IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

/** So long the coordinator stays after the run, for the page to show the end. */
const LINGER = 6

/** Opens a link, clicks once, waits for the end of the run, and compares page and ledger. */
async function clickThrough(stage, { kind, device, epochs, seconds }) {
  const job = await irisJob(stage.folder, { epochs })
  const herd = await stage.herd({ job, linger: LINGER })
  const tab = await stage.tab(herd, { kind, device, name: 'clicker' })
  assert.equal(await tab.state(), 'idle', 'nothing computes before the click')
  await tab.start()
  await tab.untilAccepted(1, seconds)
  await tab.untilState('ended', seconds)
  await until('the page shows its part', async () => (await tab.page.getByTestId('thanks-samples').count()) > 0)
  const shown = await tab.text('thanks-samples')

  const ledger = await herd.ledger()
  await assertExact(herd, ledger, { rows: IRIS_ROWS, epochs })
  const own = entries(ledger, 'clicker').filter((entry) => entry.merged > 0)
  assert.equal(own.length, 1, `one session trained: ${JSON.stringify(ledger.workers)}`)
  assert.deepEqual(own[0].rejected, {}, 'nothing of an honest worker is refused')
  assert.equal(shown, samplesOf(ledger, 'clicker').toLocaleString('en-GB'), 'page and ledger agree')
  return own[0].device
}

scenario('one click leads to merged updates from the processor', {}, async (stage) => {
  const device = await clickThrough(stage, { kind: 'plain', device: 'cpu', epochs: 30, seconds: 60 })
  assert.equal(device, 'cpu')
})

scenario('one click leads to merged updates from the graphics card', { minutes: 4 }, async (stage) => {
  const device = await clickThrough(stage, { kind: 'webgpu', device: 'webgpu', epochs: 3, seconds: 180 })
  assert.match(device, /^gpu \(WebGPU/)
})

scenario('the token leaves the address bar; a reload keeps token and identity', {}, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 100_000 })
  const herd = await stage.herd({ job })
  const tab = await stage.tab(herd, { device: 'cpu' })
  const identity = await until('the page knows its identity', async () => /^[0-9a-f]{32}$/.exec(await tab.identity())?.[0])
  const visible = await tab.page.evaluate(() => `${location.href} ${document.title} ${document.body.innerText}`)
  assert.ok(!visible.includes(herd.token), 'the token is nowhere to be seen')
  assert.match(await tab.page.evaluate(() => location.href), /\/join\?device=cpu$/)

  await tab.page.reload()
  await tab.start()
  await tab.untilAccepted()
  assert.equal(await tab.identity(), identity, 'the same browser is the same worker')

  const second = await stage.blank({ context: tab.page.context(), origins: [herd.origin] })
  await second.page.goto(herd.link({ device: 'cpu' }))
  await second.start()
  await second.untilAccepted()
  assert.equal(await second.identity(), identity, 'a second tab of the browser too')
  const before = await tab.number('accepted')
  await tab.untilAccepted(before + 1)
  const status = await herd.status()
  assert.ok(status.workers >= 2, `both tabs are at it: ${status.workers}`)
})

scenario('a wrong token is explained', { allow: [/console error: .*\b401\b/] }, async (stage) => {
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs: 10 }) })
  const tab = await stage.tab(herd, { token: 'wrong' })
  assert.match(await tab.untilError(), /(?=.*link is not valid)(?=.*ask)/is)
  assert.equal(await tab.state(), 'blocked')
  assert.ok(!(await tab.id('start').isVisible()), 'there is nothing to press')
})

scenario('a link without a token is explained', {}, async (stage) => {
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs: 10 }) })
  const tab = await stage.tab(herd, { token: '' })
  assert.match(await tab.untilError(), /(?=.*half a link)(?=.*token)/is)
  assert.ok(!(await tab.id('start').isVisible()), 'there is nothing to press')
})

scenario('another link pasted into the tab is taken', { allow: [/console error: .*\b401\b/] }, async (stage) => {
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs: 100_000 }) })
  const tab = await stage.tab(herd, { token: 'wrong', device: 'cpu' })
  await tab.untilError()
  await tab.page.evaluate((token) => {
    location.hash = token
  }, herd.token)
  await tab.start()
  await tab.untilAccepted()
})
