// Pictures of the page in each of its states, wide and on a phone, light and dark; none scrolls sideways.
import assert from 'node:assert/strict'

import { CONNECTION_ERRORS } from './support/hygiene.mjs'
import { irisJob } from './support/jobs.mjs'
import { SCHEMES, picture } from './support/pictures.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const FOR_EVER = 1_000_000

async function run(stage, { epochs = FOR_EVER, args, linger } = {}) {
  return stage.herd({ job: await irisJob(stage.folder, { epochs }), args, linger })
}

/** The dark page is dark, and the light one light: a picture of the same colours twice would prove nothing. */
async function assertSchemes(tab) {
  const shades = []
  for (const colorScheme of SCHEMES) {
    await tab.page.emulateMedia({ colorScheme })
    shades.push(await tab.page.evaluate(() => {
      const colours = [document.body, document.documentElement].map((element) => getComputedStyle(element).backgroundColor)
      return colours.find((colour) => !/, 0\)$/.test(colour))
    }))
  }
  assert.notEqual(shades[0], shades[1], `both schemes look alike: ${shades}`)
}

scenario('pictures: before the click, in training, paused, stopped', { minutes: 3 }, async (stage) => {
  const herd = await run(stage)
  const tab = await stage.tab(herd, { device: 'cpu', name: 'Ada' })
  await tab.untilState('idle')
  await until('the button can be pressed', () => tab.id('start').isEnabled())
  await picture(tab, 'idle')
  await assertSchemes(tab)
  await tab.start()
  await tab.untilAccepted(3)
  await until('a speed is known', () => tab.number('speed'))
  await picture(tab, 'running')
  await tab.id('pause').click()
  await tab.untilState('paused')
  await picture(tab, 'paused')
  await tab.id('pause').click()
  await tab.untilState('training')
  await tab.id('stop').click()
  await tab.untilState('stopped')
  await picture(tab, 'stopped')
})

scenario('pictures: waiting for others', {}, async (stage) => {
  const herd = await run(stage, { args: ['--min-workers', '3'] })
  const tab = await stage.tab(herd, { device: 'cpu' })
  await tab.start()
  await tab.untilState('waiting')
  await picture(tab, 'waiting')
})

scenario('pictures: the end', {}, async (stage) => {
  const herd = await run(stage, { epochs: 40, linger: 20 })
  const tab = await stage.tab(herd, { device: 'cpu' })
  await tab.start()
  await tab.untilState('ended')
  await until('thanks are said', () => tab.id('thanks').isVisible())
  await picture(tab, 'ended')
})

scenario('pictures: the coordinator is gone', { minutes: 3, allow: [CONNECTION_ERRORS] }, async (stage) => {
  const herd = await run(stage)
  const tab = await stage.tab(herd, { device: 'cpu' })
  await tab.start()
  await tab.untilAccepted()
  herd.program.kill()
  await tab.untilNotice('lost')
  await picture(tab, 'lost')
  await tab.untilNotice('gone', 60)
  await picture(tab, 'gone')
})

scenario('pictures: no WebGPU', {}, async (stage) => {
  const tab = await stage.tab(await run(stage))
  await tab.untilNotice('no-webgpu')
  await picture(tab, 'no-webgpu')
})

scenario('pictures: errors', { allow: [/console error: .*\b401\b/] }, async (stage) => {
  const herd = await run(stage)
  const wrong = await stage.tab(herd, { token: 'wrong' })
  await wrong.untilError()
  await picture(wrong, 'error-wrong-token')
  const forced = await stage.tab(herd, { device: 'webgpu' })
  await forced.untilError()
  await picture(forced, 'error-no-webgpu')
})
