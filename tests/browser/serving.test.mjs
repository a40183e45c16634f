// What the coordinator serves to browsers: policy, types, caching, compression and the borders of access.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import zlib from 'node:zlib'

import { irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { within } from './support/waiting.mjs'

const TYPES = {
  js: /^text\/javascript/,
  css: /^text\/css/,
  svg: /^image\/svg\+xml/,
  wasm: /^application\/wasm$/,
}

const DECODE = { br: zlib.brotliDecompressSync, gzip: zlib.gunzipSync }

/** One request, with the path as it is and nothing decoded behind the test's back. */
async function get(origin, path, headers = {}) {
  const { hostname, port } = new URL(origin)
  const request = http.get({ hostname, port, path, headers, agent: false })
  const answer = async () => {
    const [response] = await once(request, 'response')
    const chunks = []
    for await (const chunk of response) chunks.push(chunk)
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }
  }
  return within(20, `GET ${path}`, answer())
}

async function open(stage) {
  return stage.herd({ job: await irisJob(stage.folder, { epochs: 10 }) })
}

/** All pages for browsers. */
const PAGES = ['/', '/join', '/try']

/** All files that the pages name, and those that they name in turn. */
async function assets(herd) {
  const pages = await Promise.all(PAGES.map((path) => get(herd.origin, path)))
  const html = pages.map((page) => page.body).join('')
  const named = Array.from(html.matchAll(/\b(?:src|href)="(\/assets\/[^"]+)"/g), (match) => match[1])
  const wasm = /<meta name="herd-wasm" content="([^"]+)"/.exec(html)?.[1]
  assert.ok(wasm, 'the page says where the wasm program is')
  const queue = [...named, `${wasm}/worker_wasm.js`, `${wasm}/worker_wasm_bg.wasm`]
  const found = new Set()
  while (queue.length > 0) {
    const path = queue.pop()
    if (found.has(path)) continue
    found.add(path)
    if (!path.endsWith('.js')) continue
    const source = (await get(herd.origin, path)).body.toString()
    for (const [, name] of source.matchAll(/(?:from|import|new URL\()\s*['"](\.\/[^'"]+\.js)['"]/g)) {
      queue.push(new URL(name, herd.origin + path).pathname)
    }
  }
  return Array.from(found).sort()
}

scenario('each page has a strict policy and no inline script', {}, async (stage) => {
  const herd = await open(stage)
  for (const path of PAGES) await assertStrict(herd, path)
})

async function assertStrict(herd, path) {
  const { status, headers, body } = await get(herd.origin, path)
  assert.equal(status, 200)
  assert.match(headers['content-type'], /^text\/html; ?charset=utf-8$/i)
  const policy = headers['content-security-policy']
  assert.ok(policy, 'it has a Content-Security-Policy')
  const rules = new Map(policy.split(';').map((rule) => rule.trim().split(/\s+/)).map(([name, ...values]) => [name, values]))
  assert.deepEqual(rules.get('default-src'), ["'none'"], policy)
  assert.ok(rules.get('script-src')?.includes("'wasm-unsafe-eval'"), policy)
  for (const loose of ["'unsafe-inline'", "'unsafe-eval'", '*', 'data:', 'https:', 'http:']) {
    assert.ok(!rules.get('script-src').includes(loose), `scripts from ${loose}: ${policy}`)
  }
  assert.deepEqual(rules.get('frame-ancestors'), ["'none'"], policy)
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  assert.match(headers['cache-control'] ?? '', /no-cache|no-store|max-age=0/, 'the page itself is always asked for anew')

  const html = body.toString()
  for (const [tag] of html.matchAll(/<script\b[^>]*>[^<]*/gi)) assert.match(tag, /^<script\b[^>]*\bsrc="[^"]+"[^>]*>$/i)
  assert.doesNotMatch(html, /<[^>]*\son[a-z]+\s*=/i, 'no handler in an attribute')
  assert.doesNotMatch(html, /\{\{|\}\}/, 'no place is left to be filled in')
  assert.doesNotMatch(html, /\b(?:src|href)="(?:[a-z]+:)?\/\//i, 'nothing from elsewhere')
}

scenario('every asset has its type, is cached for ever and is compressed for who can read it', {}, async (stage) => {
  const herd = await open(stage)
  const paths = await assets(herd)
  const kinds = new Set(paths.map((path) => path.split('.').at(-1)))
  assert.deepEqual(Array.from(kinds).sort(), ['css', 'js', 'svg', 'wasm'])
  for (const name of ['worker.js', 'predict-worker.js']) assert.ok(paths.some((path) => path.endsWith(`/${name}`)), `${name} is among them`)
  for (const path of paths) await assertServed(herd, path)
})

async function assertServed(herd, path) {
  const plain = await get(herd.origin, path)
  assert.equal(plain.status, 200, path)
  assert.match(plain.headers['content-type'], TYPES[path.split('.').at(-1)], path)
  assert.equal(plain.headers['content-encoding'], undefined, `${path}: who asks for no encoding gets none`)
  assert.equal(plain.headers['x-content-type-options'], 'nosniff', path)
  assert.ok(plain.body.length > 0, path)
  if (plain.body.length > 1000) await assertCompressed(herd, path, plain)
  assert.match(plain.headers['cache-control'], /\bimmutable\b/, path)
  assert.match(plain.headers['cache-control'], /\bmax-age=31536000\b/, path)
}

async function assertCompressed(herd, path, plain) {
  for (const [asked, encoding] of [['br', 'br'], ['gzip', 'gzip'], ['gzip, deflate, br', 'br'], ['br;q=0, gzip', 'gzip']]) {
    const packed = await get(herd.origin, path, { 'accept-encoding': asked })
    assert.equal(packed.status, 200, path)
    assert.equal(packed.headers['content-encoding'], encoding, `${path} for "${asked}"`)
    assert.match(packed.headers.vary ?? '', /accept-encoding/i, path)
    assert.ok(packed.body.length < plain.body.length, `${path} is smaller as ${encoding}`)
    assert.ok(DECODE[encoding](packed.body).equals(plain.body), `${path} is the same as ${encoding}`)
  }
}

scenario('what does not exist is not found, and nothing is told without the token', {}, async (stage) => {
  const herd = await open(stage)
  const [asset] = (await assets(herd)).filter((path) => path.endsWith('/join.js'))
  const folder = asset.slice(0, asset.lastIndexOf('/'))
  const absent = ['/nothing', '/nothing.js', '/../join.html', '/%2e%2e/join.html', '/..%2fjoin.html', '/../../../Cargo.toml']
  for (const path of absent.flatMap((end) => [end, folder + end])) {
    assert.equal((await get(herd.origin, path)).status, 404, path)
  }
  const status = '/v1/status'
  const refused = [{}, { authorization: 'Bearer wrong' }, { authorization: herd.token }, { authorization: 'Bearer ' }]
  for (const headers of refused) {
    const answer = await get(herd.origin, status, headers)
    assert.equal(answer.status, 401, JSON.stringify(headers))
    assert.ok(!answer.body.toString().includes('iris'), 'it tells nothing of the run')
  }
  assert.equal((await get(herd.origin, `${status}?token=${herd.token}`)).status, 401, 'a token in the address does not count')
  const answer = await get(herd.origin, status, { authorization: `Bearer ${herd.token}` })
  assert.equal(answer.status, 200)
  assert.match(answer.headers['content-type'], /^application\/json/)
  assert.match(answer.headers['cache-control'] ?? '', /no-store/)
  const told = JSON.parse(answer.body.toString())
  assert.equal(told.name, 'iris')
  assert.equal(told.state, 'waiting')
  for (const key of ['epoch', 'epochs', 'samples', 'total_samples', 'workers', 'min_workers', 'parameters', 'seconds']) {
    assert.equal(typeof told[key], 'number', key)
  }
  assert.ok(Array.isArray(told.curve) && Array.isArray(told.records))
})
