// Every test asserts that its pages did not misbehave: here is the proof that misbehaviour would be noticed.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'

import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src *"

/** A page that does all that no page may do; `ELSEWHERE` is another origin. */
const FILES = {
  '/join': ['text/html', '<!doctype html><img src="/picture.png"><script>inline()</script><script type="module" src="/bad.js"></script>'],
  '/bad.js': ['text/javascript', `
    console.error('an error on the console')
    new Worker('/worker.js', { type: 'module' })
    fetch('ELSEWHERE/there').catch(() => {})
    new WebSocket('ELSEWHERE/socket'.replace('http', 'ws')).onerror = () => {}
    setTimeout(() => { throw new Error('an uncaught error') })
    Promise.reject(new Error('an unhandled rejection'))
    alert('a dialog')`],
  '/worker.js': ['text/javascript', `
    console.error('an error in the Worker')
    fetch('ELSEWHERE/worker').catch(() => {})
    setInterval(() => { try { eval('1') } catch {} }, 100)`],
}

async function serve(elsewhere) {
  const server = http.createServer((request, response) => {
    const [type, text] = FILES[request.url] ?? ['text/plain', '']
    response.writeHead(type === 'text/plain' ? 404 : 200, { 'content-type': type, 'content-security-policy': POLICY })
    response.end(text.replaceAll('ELSEWHERE', elsewhere))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const origin = (server) => `http://127.0.0.1:${server.address().port}`

/** What must be found, each by a pattern of its own. */
const EXPECTED = [
  /^console error: an error on the console/,
  /^console error: an error in the Worker/,
  /^console error: securitypolicyviolation: script-src/,
  /^console error: securitypolicyviolation: img-src/,
  /^console error: securitypolicyviolation: .*eval/,
  /^console error: .*404/,
  /^page error: .*an uncaught error/,
  /^page error: .*an unhandled rejection/,
  /^dialog: a dialog/,
  /^request to another origin: http:.*\/there/,
  /^request to another origin: http:.*\/worker/,
  /^request to another origin: ws:.*\/socket/,
]

scenario('misbehaviour of a page is noticed', { allow: [/./] }, async (stage) => {
  const other = await serve('')
  const server = await serve(origin(other))
  try {
    const tab = await stage.blank({ origins: [origin(server)] })
    await tab.page.goto(`${origin(server)}/join`)
    await tab.page.evaluate(() => fetch('/missing'))
    for (const pattern of EXPECTED) {
      await until(`${pattern} is found`, () => tab.hygiene.findings.some((finding) => pattern.test(finding)), { seconds: 10 })
    }
    assert.deepEqual(tab.hygiene.beyond([/./]), [], 'what a test causes on purpose can be allowed')
    assert.notDeepEqual(tab.hygiene.beyond([/dialog/]), [])
  } finally {
    server.closeAllConnections()
    server.close()
    other.closeAllConnections()
    other.close()
  }
})
