// A dashboard that is open for hours: neither its elements nor its memory grow with what it hears.
//
// HERD_DASHBOARD_MINUTES=30 watches for half an hour; without it a short time is enough to see a leak, as
// every tick would add to it.
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'

import { irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const MINUTES = Number(process.env.HERD_DASHBOARD_MINUTES ?? 0.75)
const MEGABYTE = 2 ** 20

/** Growth between a third of the time and the end. The heap is measured after its garbage was collected;
 * a table of epochs and charts may still fill up to their bounds. */
const HEAP_GROWTH = 6 * MEGABYTE
const NODES_GROWTH = 400
const LISTENERS_GROWTH = 20

const LOOKS = 7

/** What a page holds, once what it no longer needs is gone: the least of some looks, as the page goes on and may
 * replace a table between the collection of garbage and the count. */
async function held(session) {
  const least = { heap: Infinity, nodes: Infinity, listeners: Infinity }
  for (let look = 0; look < LOOKS; look += 1) {
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize } = await session.send('Runtime.getHeapUsage')
    const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters')
    least.heap = Math.min(least.heap, usedSize)
    least.nodes = Math.min(least.nodes, nodes)
    least.listeners = Math.min(least.listeners, jsEventListeners)
  }
  return least
}

// A million epochs, the most there may be, are to outlast the test: nobody trains faster than this.
process.env.HERD_TEST_SAMPLES_PER_SECOND = '20000'

scenario('an open dashboard stays as it is', { minutes: MINUTES + 3 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 1_000_000, frequency: 'steps=8', rate: 0.001, validation: 0.2 })
  const herd = await stage.herd({ job })
  stage.worker(herd, 'Ada')
  const tab = await stage.blank({ origins: [herd.origin] })
  await tab.page.goto(herd.dashboard(herd.admin))
  await tab.untilState('training')
  await tab.page.locator('#epochs-details summary').click()
  // Lists are full of epochs and events before anything is measured.
  await until('the table of epochs is full', async () => (await tab.page.locator('#epochs-body tr').count()) >= 200, { seconds: 120 })
  await until('the charts are drawn', async () => (await tab.page.locator('.plot canvas').count()) >= 3)
  const session = await tab.page.context().newCDPSession(tab.page)
  await pause(MINUTES * 20_000)
  const third = await held(session)
  await pause(MINUTES * 40_000)
  const end = await held(session)
  await tab.untilState('training')
  const figures = `${JSON.stringify(third)} after a third, ${JSON.stringify(end)} at the end of ${MINUTES} min`
  stage.note(figures)
  assert.ok(end.heap - third.heap <= HEAP_GROWTH, `the heap grows: ${figures}`)
  assert.ok(end.nodes - third.nodes <= NODES_GROWTH, `elements pile up: ${figures}`)
  assert.ok(end.listeners - third.listeners <= LISTENERS_GROWTH, `listeners pile up: ${figures}`)
})
