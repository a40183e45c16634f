// Pictures of the dashboard, on a laptop, a projector and a phone, light and dark, for an admin and for a viewer.
import assert from 'node:assert/strict'

import { CONNECTION_ERRORS } from './support/hygiene.mjs'
import { picture } from './support/pictures.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const SIZES = {
  laptop: { width: 1440, height: 900 },
  projector: { width: 1920, height: 1080 },
  phone: { width: 390, height: 844 },
}

async function opened(stage, herd, token) {
  const tab = await stage.blank({ origins: [herd.origin], options: { viewport: SIZES.laptop } })
  await tab.page.goto(herd.dashboard(token))
  return tab
}

scenario('pictures: the dashboard in each of its states', { minutes: 5, allow: [CONNECTION_ERRORS] }, async (stage) => {
  const args = ['--set', 'preset=mnist-cnn', '--epochs', '400', '--min-workers', '2']
  const herd = await stage.herd({ args, linger: 30 })
  const admin = await opened(stage, herd, herd.admin)
  await admin.untilState('waiting')
  await until('the code is there', () => admin.id('invite').isVisible())
  await picture(admin, 'dashboard-waiting', SIZES)
  stage.worker(herd, 'local-1')
  stage.worker(herd, 'Grace’s phone <img src=x onerror=alert(1)>')
  await admin.untilState('training')
  const epochs = async () => (await herd.status()).records.length
  await until('some epochs are over', async () => (await epochs()) >= 8, { seconds: 120 })
  await picture(admin, 'dashboard-training', SIZES)
  const viewer = await opened(stage, herd, herd.viewer)
  await viewer.untilState('training')
  await picture(viewer, 'dashboard-viewer', SIZES)
  await viewer.page.close()

  await admin.id('stop').click()
  await picture(admin, 'dashboard-question', SIZES)
  await admin.id('sure-yes').click()
  await admin.untilState('ended')
  await picture(admin, 'dashboard-ended', SIZES)
  assert.equal(await admin.page.locator('main img').count(), 0)
  herd.program.kill()
  await admin.untilNotice('closed')
  await picture(admin, 'dashboard-closed', SIZES)
})

scenario('pictures: no token, and large type, and little motion', {}, async (stage) => {
  const herd = await stage.herd({ args: ['--epochs', '2'] })
  const tab = await stage.blank({ origins: [herd.origin], options: { reducedMotion: 'reduce' } })
  await tab.page.goto(herd.dashboard(''))
  await tab.untilState('idle')
  await picture(tab, 'dashboard-ask', SIZES)
  // What moves by itself is drawn on the canvas: two looks at it are the same.
  const look = () => tab.page.locator('#motif').screenshot()
  const [first, second] = [await look(), await look()]
  assert.ok(first.equals(second), 'nothing moves')
})
